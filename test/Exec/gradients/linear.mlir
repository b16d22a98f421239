// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient | FileCheck %s

// CHECK: linear_1x1: d/d arg0: ok
// CHECK-NEXT: linear_1x1: d/d arg1: ok
func.func @linear_1x1(%x: tensor<1x1x1xf32>, %w: tensor<3x1xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.linear %x, %w : (tensor<1x1x1xf32>, tensor<3x1xf32>) -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: bias_1x1: d/d arg0: ok
// CHECK-NEXT: bias_1x1: d/d arg1: ok
// CHECK-NEXT: bias_1x1: d/d arg2: ok
func.func @bias_1x1(%x: tensor<1x1x1xf32>, %w: tensor<3x1xf32>, %b: tensor<3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.linear %x, %w bias %b : (tensor<1x1x1xf32>, tensor<3x1xf32>, tensor<3xf32>) -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: linear_2x3: d/d arg0: ok
// CHECK-NEXT: linear_2x3: d/d arg1: ok
func.func @linear_2x3(%x: tensor<2x3x5xf32>, %w: tensor<7x5xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.linear %x, %w : (tensor<2x3x5xf32>, tensor<7x5xf32>) -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: bias_2x3: d/d arg0: ok
// CHECK-NEXT: bias_2x3: d/d arg1: ok
// CHECK-NEXT: bias_2x3: d/d arg2: ok
func.func @bias_2x3(%x: tensor<2x3x5xf32>, %w: tensor<7x5xf32>, %b: tensor<7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.linear %x, %w bias %b : (tensor<2x3x5xf32>, tensor<7x5xf32>, tensor<7xf32>) -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: linear_3x5: d/d arg0: ok
// CHECK-NEXT: linear_3x5: d/d arg1: ok
func.func @linear_3x5(%x: tensor<3x5x8xf32>, %w: tensor<4x8xf32>) -> tensor<3x5x4xf32> {
  %y = qwen.linear %x, %w : (tensor<3x5x8xf32>, tensor<4x8xf32>) -> tensor<3x5x4xf32>
  return %y : tensor<3x5x4xf32>
}
// CHECK: bias_3x5: d/d arg0: ok
// CHECK-NEXT: bias_3x5: d/d arg1: ok
// CHECK-NEXT: bias_3x5: d/d arg2: ok
func.func @bias_3x5(%x: tensor<3x5x8xf32>, %w: tensor<4x8xf32>, %b: tensor<4xf32>) -> tensor<3x5x4xf32> {
  %y = qwen.linear %x, %w bias %b : (tensor<3x5x8xf32>, tensor<4x8xf32>, tensor<4xf32>) -> tensor<3x5x4xf32>
  return %y : tensor<3x5x4xf32>
}
