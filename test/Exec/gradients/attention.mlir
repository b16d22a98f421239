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
