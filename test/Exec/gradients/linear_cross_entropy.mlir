// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient --range arg2=-1:3 | FileCheck %s

// Some targets are -1: they do not count.
// CHECK: loss_1x1: d/d arg0: ok
// CHECK-NEXT: loss_1x1: d/d arg1: ok
func.func @loss_1x1(%x: tensor<1x1x3xf32>, %w: tensor<4x3xf32>, %t: tensor<1x1xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) {
  %loss, %count, %correct = qwen.linear_cross_entropy %x, %w, %t : (tensor<1x1x3xf32>, tensor<4x3xf32>, tensor<1x1xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
// CHECK: loss_2x5: d/d arg0: ok
// CHECK-NEXT: loss_2x5: d/d arg1: ok
func.func @loss_2x5(%x: tensor<2x5x7xf32>, %w: tensor<9x7xf32>, %t: tensor<2x5xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) {
  %loss, %count, %correct = qwen.linear_cross_entropy %x, %w, %t : (tensor<2x5x7xf32>, tensor<9x7xf32>, tensor<2x5xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
// CHECK: loss_2x3_capped: d/d arg0: ok
// CHECK-NEXT: loss_2x3_capped: d/d arg1: ok
func.func @loss_2x3_capped(%x: tensor<2x3x4xf32>, %w: tensor<17x4xf32>, %t: tensor<2x3xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) {
  %loss, %count, %correct = qwen.linear_cross_entropy %x, %w, %t {cap = 2.5 : f64} : (tensor<2x3x4xf32>, tensor<17x4xf32>, tensor<2x3xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
// CHECK: loss_3x3_capped: d/d arg0: ok
// CHECK-NEXT: loss_3x3_capped: d/d arg1: ok
func.func @loss_3x3_capped(%x: tensor<3x3x6xf32>, %w: tensor<11x6xf32>, %t: tensor<3x3xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) {
  %loss, %count, %correct = qwen.linear_cross_entropy %x, %w, %t {cap = 0.75 : f64} : (tensor<3x3x6xf32>, tensor<11x6xf32>, tensor<3x3xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
// CHECK: loss_2x5_z: d/d arg0: ok
// CHECK-NEXT: loss_2x5_z: d/d arg1: ok
func.func @loss_2x5_z(%x: tensor<2x5x4xf32>, %w: tensor<7x4xf32>, %t: tensor<2x5xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) {
  %loss, %count, %correct = qwen.linear_cross_entropy %x, %w, %t {z_weight = 0.125 : f64} : (tensor<2x5x4xf32>, tensor<7x4xf32>, tensor<2x5xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
// CHECK: loss_3x3_capped_z: d/d arg0: ok
// CHECK-NEXT: loss_3x3_capped_z: d/d arg1: ok
func.func @loss_3x3_capped_z(%x: tensor<3x3x6xf32>, %w: tensor<11x6xf32>, %t: tensor<3x3xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) {
  %loss, %count, %correct = qwen.linear_cross_entropy %x, %w, %t {cap = 0.75 : f64, z_weight = 0.01 : f64} : (tensor<3x3x6xf32>, tensor<11x6xf32>, tensor<3x3xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
