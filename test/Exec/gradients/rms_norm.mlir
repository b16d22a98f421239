// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient | FileCheck %s

// CHECK: weighted_1x1x3: d/d arg0: ok
// CHECK-NEXT: weighted_1x1x3: d/d arg1: ok
func.func @weighted_1x1x3(%x: tensor<1x1x3xf32>, %w: tensor<3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.rms_norm %x weight %w {eps = 1.0e-5 : f64} : (tensor<1x1x3xf32>, tensor<3xf32>) -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: plain_1x1x3: d/d arg0: ok
func.func @plain_1x1x3(%x: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.rms_norm %x {eps = 1.0e-2 : f64} : (tensor<1x1x3xf32>) -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: weighted_2x3x7: d/d arg0: ok
// CHECK-NEXT: weighted_2x3x7: d/d arg1: ok
func.func @weighted_2x3x7(%x: tensor<2x3x7xf32>, %w: tensor<7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.rms_norm %x weight %w {eps = 1.0e-5 : f64} : (tensor<2x3x7xf32>, tensor<7xf32>) -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: plain_2x3x7: d/d arg0: ok
func.func @plain_2x3x7(%x: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.rms_norm %x {eps = 1.0e-2 : f64} : (tensor<2x3x7xf32>) -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: weighted_3x5x16: d/d arg0: ok
// CHECK-NEXT: weighted_3x5x16: d/d arg1: ok
func.func @weighted_3x5x16(%x: tensor<3x5x16xf32>, %w: tensor<16xf32>) -> tensor<3x5x16xf32> {
  %y = qwen.rms_norm %x weight %w {eps = 1.0e-5 : f64} : (tensor<3x5x16xf32>, tensor<16xf32>) -> tensor<3x5x16xf32>
  return %y : tensor<3x5x16xf32>
}
// CHECK: plain_3x5x16: d/d arg0: ok
func.func @plain_3x5x16(%x: tensor<3x5x16xf32>) -> tensor<3x5x16xf32> {
  %y = qwen.rms_norm %x {eps = 1.0e-2 : f64} : (tensor<3x5x16xf32>) -> tensor<3x5x16xf32>
  return %y : tensor<3x5x16xf32>
}
// CHECK: weighted_2x3x2x6: d/d arg0: ok
// CHECK-NEXT: weighted_2x3x2x6: d/d arg1: ok
func.func @weighted_2x3x2x6(%x: tensor<2x3x2x6xf32>, %w: tensor<6xf32>) -> tensor<2x3x2x6xf32> {
  %y = qwen.rms_norm %x weight %w {eps = 1.0e-5 : f64} : (tensor<2x3x2x6xf32>, tensor<6xf32>) -> tensor<2x3x2x6xf32>
  return %y : tensor<2x3x2x6xf32>
}
// CHECK: plain_2x3x2x6: d/d arg0: ok
func.func @plain_2x3x2x6(%x: tensor<2x3x2x6xf32>) -> tensor<2x3x2x6xf32> {
  %y = qwen.rms_norm %x {eps = 1.0e-2 : f64} : (tensor<2x3x2x6xf32>) -> tensor<2x3x2x6xf32>
  return %y : tensor<2x3x2x6xf32>
}
