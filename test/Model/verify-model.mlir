// A whole model passes, unchanged.
// REQUIRES: qwen-opt
// RUN: qwen-opt %s --verify-import --verify-model | FileCheck %s

// CHECK: qwen.param @table
qwen.param @table : tensor<32x16xf32> {axes = ["vocab", "hidden"], group = 0 : i64, index = 0 : i64}
// CHECK: func.func @loss
func.func @loss(%tokens: tensor<2x4xi32>, %targets: tensor<2x4xi32>) -> tensor<f32> {
  %table = qwen.get_param @table : tensor<32x16xbf16>
  %x = qwen.embedding %tokens, %table : tensor<2x4xi32>, tensor<32x16xbf16> -> tensor<2x4x16xbf16>
  // CHECK: qwen.linear_cross_entropy
  %loss, %count, %correct = qwen.linear_cross_entropy %x, %table, %targets
    : (tensor<2x4x16xbf16>, tensor<32x16xbf16>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss : tensor<f32>
}
