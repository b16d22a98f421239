// What does not qualify stays as it is, and the remark says why.
// REQUIRES: qwen-opt
// RUN: qwen-opt %s --form-linear-cross-entropy --split-input-file --remarks-filter=model 2>&1 | FileCheck %s

// CHECK: Reason="the head has a bias"
// CHECK: Reason="the logits are rounded to a narrower type"
// CHECK: Reason="the logits are not the result of a linear op"
// CHECK-LABEL: func.func @bias
// CHECK: qwen.cross_entropy
func.func @bias(%x: tensor<2x4x16xf32>, %w: tensor<32x16xf32>, %b: tensor<32xf32>, %t: tensor<2x4xi32>) -> tensor<f32> {
  %logits = qwen.linear %x, %w bias %b : (tensor<2x4x16xf32>, tensor<32x16xf32>, tensor<32xf32>) -> tensor<2x4x32xf32>
  %loss, %count, %correct = qwen.cross_entropy %logits, %t
    : (tensor<2x4x32xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss : tensor<f32>
}

// -----

// CHECK-LABEL: func.func @rounded
// CHECK: qwen.cross_entropy
func.func @rounded(%x: tensor<2x4x16xbf16>, %w: tensor<32x16xbf16>, %t: tensor<2x4xi32>) -> tensor<f32> {
  %logits = qwen.linear %x, %w : (tensor<2x4x16xbf16>, tensor<32x16xbf16>) -> tensor<2x4x32xbf16>
  %loss, %count, %correct = qwen.cross_entropy %logits, %t
    : (tensor<2x4x32xbf16>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss : tensor<f32>
}

// -----

// CHECK-LABEL: func.func @other
// CHECK: qwen.cross_entropy
func.func @other(%logits: tensor<2x4x32xf32>, %t: tensor<2x4xi32>) -> tensor<f32> {
  %loss, %count, %correct = qwen.cross_entropy %logits, %t
    : (tensor<2x4x32xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss : tensor<f32>
}
