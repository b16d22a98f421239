// REQUIRES: qwen-opt
// RUN: qwen-opt %s --split-input-file --verify-diagnostics --reverse-autodiff

func.func @eval_loss(%x: tensor<2x4x8xf32> {qwen.name = "x", qwen.role = "input"},
                     %targets: tensor<2x4xi32> {qwen.name = "targets", qwen.role = "input"})
    -> (tensor<f32>, tensor<i32>, tensor<i32>)
    attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 4 : i64}} {
  %length = arith.constant dense<4> : tensor<2xi32>
  // expected-error @+1 {{has no derivative rule}}
  %l = qwen.last_token %x, %length : tensor<2x4x8xf32>, tensor<2xi32> -> tensor<2x1x8xf32>
  %t = arith.constant dense<1> : tensor<2x1xi32>
  %loss, %count, %correct = qwen.cross_entropy %l, %t : (tensor<2x1x8xf32>, tensor<2x1xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}

// -----

qwen.param @head : tensor<16x8xf32> {axes = ["vocab", "hidden"], group = 0 : i64, index = 0 : i64}
qwen.param @embed : tensor<16x8xf32> {axes = ["vocab", "hidden"], group = 0 : i64, index = 1 : i64}

func.func @eval_loss(%tokens: tensor<2x4xi32> {qwen.name = "tokens", qwen.role = "input"},
                     %targets: tensor<2x4xi32> {qwen.name = "targets", qwen.role = "input"})
    -> (tensor<f32>, tensor<i32>, tensor<i32>)
    attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 4 : i64}} {
  %head = qwen.get_param @head : tensor<16x8xf32>
  %table = qwen.get_param @embed : tensor<16x8xf32>
  // expected-error @+1 {{a value from outside of the layers needs a gradient inside}}
  %x0 = qwen.embedding %tokens, %table : tensor<2x4xi32>, tensor<16x8xf32> -> tensor<2x4x8xf32>
  %x1 = qwen.layers count 2 carried(%x0) slices() states() : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  ^bb0(%x: tensor<2x4x8xf32>):
    %y = qwen.add %x, %x0 : tensor<2x4x8xf32>, tensor<2x4x8xf32> -> tensor<2x4x8xf32>
    qwen.yield carried(%y) stacked() states() : (tensor<2x4x8xf32>) -> ()
  }
  %loss, %count, %correct = qwen.linear_cross_entropy %x1, %head, %targets : (tensor<2x4x8xf32>, tensor<16x8xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
