// REQUIRES: qwen-opt
// RUN: qwen-opt %s --form-linear-cross-entropy --split-input-file --mlir-print-debuginfo --mlir-print-local-scope | FileCheck %s

// CHECK-LABEL: func.func @plain
func.func @plain(%x: tensor<2x4x16xbf16>, %w: tensor<32x16xbf16>, %t: tensor<2x4xi32>) -> tensor<f32> {
  // CHECK-NOT: qwen.linear %
  // CHECK: %[[LOSS:.*]], %{{.*}}, %{{.*}} = qwen.linear_cross_entropy %arg0, %arg1, %arg2
  // The formed op keeps both places.
  // CHECK-SAME: loc(fused["m.yaml":3:5, "m.yaml":4:5])
  // CHECK-NOT: qwen.cross_entropy
  // CHECK: return %[[LOSS]]
  %logits = qwen.linear %x, %w : (tensor<2x4x16xbf16>, tensor<32x16xbf16>) -> tensor<2x4x32xf32> loc("m.yaml":3:5)
  %loss, %count, %correct = qwen.cross_entropy %logits, %t
    : (tensor<2x4x32xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) loc("m.yaml":4:5)
  return %loss : tensor<f32>
}

// -----

// CHECK-LABEL: func.func @softcap
func.func @softcap(%x: tensor<2x4x16xf32>, %w: tensor<32x16xf32>, %t: tensor<2x4xi32>) -> tensor<f32> {
  // CHECK-NOT: qwen.softcap
  // CHECK: qwen.linear_cross_entropy %arg0, %arg1, %arg2 {cap = 1.500000e+01 : f64}
  %logits = qwen.linear %x, %w : (tensor<2x4x16xf32>, tensor<32x16xf32>) -> tensor<2x4x32xf32>
  %capped = qwen.softcap %logits {cap = 15.0 : f64} : tensor<2x4x32xf32> -> tensor<2x4x32xf32>
  %loss, %count, %correct = qwen.cross_entropy %capped, %t
    : (tensor<2x4x32xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss : tensor<f32>
}

// -----

// Logits that something else reads stay.
// CHECK-LABEL: func.func @shared
func.func @shared(%x: tensor<2x4x16xf32>, %w: tensor<32x16xf32>, %t: tensor<2x4xi32>) -> (tensor<f32>, tensor<2x4x32xf32>) {
  // CHECK: %[[LOGITS:.*]] = qwen.linear %arg0, %arg1
  // CHECK: qwen.linear_cross_entropy
  // CHECK: return %{{.*}}, %[[LOGITS]]
  %logits = qwen.linear %x, %w : (tensor<2x4x16xf32>, tensor<32x16xf32>) -> tensor<2x4x32xf32>
  %loss, %count, %correct = qwen.cross_entropy %logits, %t
    : (tensor<2x4x32xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %logits : tensor<f32>, tensor<2x4x32xf32>
}

// -----

// CHECK-LABEL: func.func @z_loss
func.func @z_loss(%x: tensor<2x4x16xf32>, %w: tensor<32x16xf32>, %t: tensor<2x4xi32>) -> tensor<f32> {
  // CHECK: qwen.linear_cross_entropy %arg0, %arg1, %arg2 {z_weight = 1.250000e-01 : f64}
  %logits = qwen.linear %x, %w : (tensor<2x4x16xf32>, tensor<32x16xf32>) -> tensor<2x4x32xf32>
  %loss, %count, %correct = qwen.cross_entropy %logits, %t {z_weight = 0.125 : f64}
    : (tensor<2x4x32xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss : tensor<f32>
}
