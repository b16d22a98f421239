// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient --range arg1=-1:5 | FileCheck %s

// Some targets are -1: they do not count.
// CHECK: loss_1x1: d/d arg0: ok
func.func @loss_1x1(%x: tensor<1x1x5xf32>, %t: tensor<1x1xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) {
  %loss, %count, %correct = qwen.cross_entropy %x, %t : (tensor<1x1x5xf32>, tensor<1x1xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
// CHECK: loss_3x7: d/d arg0: ok
func.func @loss_3x7(%x: tensor<3x7x11xf32>, %t: tensor<3x7xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) {
  %loss, %count, %correct = qwen.cross_entropy %x, %t : (tensor<3x7x11xf32>, tensor<3x7xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
// CHECK: loss_3x7_z: d/d arg0: ok
func.func @loss_3x7_z(%x: tensor<3x7x11xf32>, %t: tensor<3x7xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) {
  %loss, %count, %correct = qwen.cross_entropy %x, %t {z_weight = 0.125 : f64} : (tensor<3x7x11xf32>, tensor<3x7xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
