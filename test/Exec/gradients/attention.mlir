// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient | FileCheck %s

// CHECK: attention_1_1x1x6: d/d arg0: ok
// CHECK-NEXT: attention_1_1x1x6: d/d arg1: ok
// CHECK-NEXT: attention_1_1x1x6: d/d arg2: ok
func.func @attention_1_1x1x6(%q: tensor<1x1x1x6xf32>, %k: tensor<1x1x1x6xf32>, %v: tensor<1x1x1x6xf32>) -> tensor<1x1x1x6xf32> {
  %y = qwen.attention %q, %k, %v {scale = 0.408248 : f64} : (tensor<1x1x1x6xf32>, tensor<1x1x1x6xf32>, tensor<1x1x1x6xf32>) -> tensor<1x1x1x6xf32>
  return %y : tensor<1x1x1x6xf32>
}
// CHECK: attention_5_2x2x7: d/d arg0: ok
// CHECK-NEXT: attention_5_2x2x7: d/d arg1: ok
// CHECK-NEXT: attention_5_2x2x7: d/d arg2: ok
func.func @attention_5_2x2x7(%q: tensor<2x5x2x7xf32>, %k: tensor<2x5x2x7xf32>, %v: tensor<2x5x2x7xf32>) -> tensor<2x5x2x7xf32> {
  %y = qwen.attention %q, %k, %v {scale = 0.377964 : f64} : (tensor<2x5x2x7xf32>, tensor<2x5x2x7xf32>, tensor<2x5x2x7xf32>) -> tensor<2x5x2x7xf32>
  return %y : tensor<2x5x2x7xf32>
}
// CHECK: attention_7_4x2x10: d/d arg0: ok
// CHECK-NEXT: attention_7_4x2x10: d/d arg1: ok
// CHECK-NEXT: attention_7_4x2x10: d/d arg2: ok
func.func @attention_7_4x2x10(%q: tensor<1x7x4x10xf32>, %k: tensor<1x7x2x10xf32>, %v: tensor<1x7x2x10xf32>) -> tensor<1x7x4x10xf32> {
  %y = qwen.attention %q, %k, %v {scale = 0.316228 : f64} : (tensor<1x7x4x10xf32>, tensor<1x7x2x10xf32>, tensor<1x7x2x10xf32>) -> tensor<1x7x4x10xf32>
  return %y : tensor<1x7x4x10xf32>
}
// CHECK: attention_3_6x2x20: d/d arg0: ok
// CHECK-NEXT: attention_3_6x2x20: d/d arg1: ok
// CHECK-NEXT: attention_3_6x2x20: d/d arg2: ok
func.func @attention_3_6x2x20(%q: tensor<2x3x6x20xf32>, %k: tensor<2x3x2x20xf32>, %v: tensor<2x3x2x20xf32>) -> tensor<2x3x6x20xf32> {
  %y = qwen.attention %q, %k, %v {scale = 0.223607 : f64} : (tensor<2x3x6x20xf32>, tensor<2x3x2x20xf32>, tensor<2x3x2x20xf32>) -> tensor<2x3x6x20xf32>
  return %y : tensor<2x3x6x20xf32>
}
// CHECK: attention_6_6x1x9: d/d arg0: ok
// CHECK-NEXT: attention_6_6x1x9: d/d arg1: ok
// CHECK-NEXT: attention_6_6x1x9: d/d arg2: ok
func.func @attention_6_6x1x9(%q: tensor<1x6x6x9xf32>, %k: tensor<1x6x1x9xf32>, %v: tensor<1x6x1x9xf32>) -> tensor<1x6x6x9xf32> {
  %y = qwen.attention %q, %k, %v {scale = 0.333333 : f64} : (tensor<1x6x6x9xf32>, tensor<1x6x1x9xf32>, tensor<1x6x1x9xf32>) -> tensor<1x6x6x9xf32>
  return %y : tensor<1x6x6x9xf32>
}

// Windows and documents (runs of equal ids, drawn).
// CHECK: window_1_5_2x2x7: d/d arg0: ok
// CHECK-NEXT: window_1_5_2x2x7: d/d arg1: ok
// CHECK-NEXT: window_1_5_2x2x7: d/d arg2: ok
func.func @window_1_5_2x2x7(%q: tensor<2x5x2x7xf32>, %k: tensor<2x5x2x7xf32>, %v: tensor<2x5x2x7xf32>) -> tensor<2x5x2x7xf32> {
  %y = qwen.attention %q, %k, %v {scale = 0.377964 : f64, window = 1 : i64} : (tensor<2x5x2x7xf32>, tensor<2x5x2x7xf32>, tensor<2x5x2x7xf32>) -> tensor<2x5x2x7xf32>
  return %y : tensor<2x5x2x7xf32>
}
// CHECK: window_3_7_4x2x10: d/d arg0: ok
// CHECK-NEXT: window_3_7_4x2x10: d/d arg1: ok
// CHECK-NEXT: window_3_7_4x2x10: d/d arg2: ok
func.func @window_3_7_4x2x10(%q: tensor<1x7x4x10xf32>, %k: tensor<1x7x2x10xf32>, %v: tensor<1x7x2x10xf32>) -> tensor<1x7x4x10xf32> {
  %y = qwen.attention %q, %k, %v {scale = 0.316228 : f64, window = 3 : i64} : (tensor<1x7x4x10xf32>, tensor<1x7x2x10xf32>, tensor<1x7x2x10xf32>) -> tensor<1x7x4x10xf32>
  return %y : tensor<1x7x4x10xf32>
}
// CHECK: documents_9_4x2x6: d/d arg0: ok
// CHECK-NEXT: documents_9_4x2x6: d/d arg1: ok
// CHECK-NEXT: documents_9_4x2x6: d/d arg2: ok
func.func @documents_9_4x2x6(%q: tensor<2x9x4x6xf32>, %k: tensor<2x9x2x6xf32>, %v: tensor<2x9x2x6xf32>, %documents: tensor<2x9xi32>) -> tensor<2x9x4x6xf32> {
  %starts = qwen.document_starts %documents : tensor<2x9xi32> -> tensor<2x9xi32>
  %y = qwen.attention %q, %k, %v starts %starts {scale = 0.408248 : f64} : (tensor<2x9x4x6xf32>, tensor<2x9x2x6xf32>, tensor<2x9x2x6xf32>, tensor<2x9xi32>) -> tensor<2x9x4x6xf32>
  return %y : tensor<2x9x4x6xf32>
}
// CHECK: documents_5_3x1x7: d/d arg0: ok
// CHECK-NEXT: documents_5_3x1x7: d/d arg1: ok
// CHECK-NEXT: documents_5_3x1x7: d/d arg2: ok
func.func @documents_5_3x1x7(%q: tensor<2x5x3x7xf32>, %k: tensor<2x5x1x7xf32>, %v: tensor<2x5x1x7xf32>, %documents: tensor<2x5xi32>) -> tensor<2x5x3x7xf32> {
  %starts = qwen.document_starts %documents : tensor<2x5xi32> -> tensor<2x5xi32>
  %y = qwen.attention %q, %k, %v starts %starts {scale = 0.377964 : f64} : (tensor<2x5x3x7xf32>, tensor<2x5x1x7xf32>, tensor<2x5x1x7xf32>, tensor<2x5xi32>) -> tensor<2x5x3x7xf32>
  return %y : tensor<2x5x3x7xf32>
}
// CHECK: window_2_documents_11_2x1x5: d/d arg0: ok
// CHECK-NEXT: window_2_documents_11_2x1x5: d/d arg1: ok
// CHECK-NEXT: window_2_documents_11_2x1x5: d/d arg2: ok
func.func @window_2_documents_11_2x1x5(%q: tensor<1x11x2x5xf32>, %k: tensor<1x11x1x5xf32>, %v: tensor<1x11x1x5xf32>, %documents: tensor<1x11xi32>) -> tensor<1x11x2x5xf32> {
  %starts = qwen.document_starts %documents : tensor<1x11xi32> -> tensor<1x11xi32>
  %y = qwen.attention %q, %k, %v starts %starts {scale = 0.447214 : f64, window = 2 : i64} : (tensor<1x11x2x5xf32>, tensor<1x11x1x5xf32>, tensor<1x11x1x5xf32>, tensor<1x11xi32>) -> tensor<1x11x2x5xf32>
  return %y : tensor<1x11x2x5xf32>
}
