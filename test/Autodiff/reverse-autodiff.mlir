// REQUIRES: qwen-opt
// RUN: qwen-opt %s --reverse-autodiff | FileCheck %s

// Two layers of x + relu2(norm(x) up^T) down^T under a tied embedding.

qwen.param @embed : tensor<32x8xf32> {axes = ["vocab", "hidden"], group = 0 : i64, index = 0 : i64}
qwen.param @norm layers 2 : tensor<8xf32> {axes = ["hidden"], group = 1 : i64, index = 1 : i64}
qwen.param @up layers 2 : tensor<12x8xf32> {axes = ["ffn", "hidden"], group = 0 : i64, index = 2 : i64}
qwen.param @down layers 2 : tensor<8x12xf32> {axes = ["hidden", "ffn"], group = 0 : i64, index = 3 : i64}

// CHECK-LABEL: func.func @micro_step
// CHECK-SAME: %[[TOKENS:.*]]: tensor<2x4xi32> {qwen.name = "tokens"
// CHECK-SAME: %[[TARGETS:.*]]: tensor<2x4xi32> {qwen.name = "targets"
// CHECK-SAME: %[[INV:.*]]: tensor<f32> {qwen.name = "inv_count"
// CHECK-SAME: %[[GE:[a-z0-9]+]]: tensor<32x8xf32> {qwen.name = "embed", qwen.param = @embed, qwen.role = "gradient"}
// CHECK-SAME: %[[GN:[a-z0-9]+]]: tensor<2x8xf32>
// CHECK-SAME: %[[GU:[a-z0-9]+]]: tensor<2x12x8xf32>
// CHECK-SAME: %[[GD:[a-z0-9]+]]: tensor<2x8x12xf32>
// The forward layers save just what rules read: the activation's result and
// input, the norm's result, x and rstd.
// CHECK: %[[FWD:.*]]:6 = qwen.layers count 2 carried
// CHECK: qwen.rms_norm {{.*}} -> (tensor<2x4x8xf32>, tensor<2x4xf32>)
// CHECK: qwen.yield carried(%{{.*}}) stacked(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) states()
// The loss comes from its gradient's kernel; the tied table's first share too.
// CHECK: %[[LOSS:.*]], %[[DX:.*]], %[[GE1:.*]] = qwen.linear_cross_entropy_grad %[[FWD]]#0, %{{.*}}, %[[TARGETS]], %[[INV]] into %[[GE]]
// CHECK-NOT: qwen.linear_cross_entropy %
// CHECK: %[[BWD:.*]]:4 = qwen.layers count 2 reverse carried(%[[DX]]) slices(%[[FWD]]#1, {{.*}}) states(%[[GN]], %[[GU]], %[[GD]])
// CHECK: qwen.linear_input_grad
// CHECK: qwen.linear_weight_grad
// CHECK: qwen.activation_grad relu2
// CHECK: qwen.rms_norm_input_grad
// CHECK: qwen.add
// CHECK: qwen.rms_norm_weight_grad
// CHECK: %[[GE2:.*]] = qwen.embedding_grad %[[BWD]]#0, %[[TOKENS]] into %[[GE1]]
// CHECK: return %[[LOSS]], %[[GE2]], %[[BWD]]#1, %[[BWD]]#2, %[[BWD]]#3
func.func @eval_loss(%tokens: tensor<2x4xi32> {qwen.name = "tokens", qwen.role = "input"},
                     %targets: tensor<2x4xi32> {qwen.name = "targets", qwen.role = "input"})
    -> (tensor<f32> {qwen.name = "loss", qwen.role = "output"},
        tensor<i32> {qwen.name = "count", qwen.role = "output"},
        tensor<i32> {qwen.name = "correct", qwen.role = "output"})
    attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 4 : i64}} {
  %table = qwen.get_param @embed : tensor<32x8xf32>
  %x0 = qwen.embedding %tokens, %table : tensor<2x4xi32>, tensor<32x8xf32> -> tensor<2x4x8xf32>
  %x1 = qwen.layers count 2 carried(%x0) slices() states() : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  ^bb0(%x: tensor<2x4x8xf32>):
    %nw = qwen.get_param @norm : tensor<8xf32>
    %up = qwen.get_param @up : tensor<12x8xf32>
    %down = qwen.get_param @down : tensor<8x12xf32>
    %h = qwen.rms_norm %x weight %nw {eps = 1.0e-6 : f64} : (tensor<2x4x8xf32>, tensor<8xf32>) -> tensor<2x4x8xf32>
    %u = qwen.linear %h, %up : (tensor<2x4x8xf32>, tensor<12x8xf32>) -> tensor<2x4x12xf32>
    %a = qwen.activation relu2 %u : tensor<2x4x12xf32> -> tensor<2x4x12xf32>
    %d = qwen.linear %a, %down : (tensor<2x4x12xf32>, tensor<8x12xf32>) -> tensor<2x4x8xf32>
    %y = qwen.add %x, %d : tensor<2x4x8xf32>, tensor<2x4x8xf32> -> tensor<2x4x8xf32>
    qwen.yield carried(%y) stacked() states() : (tensor<2x4x8xf32>) -> ()
  }
  %loss, %count, %correct = qwen.linear_cross_entropy %x1, %table, %targets : (tensor<2x4x8xf32>, tensor<32x8xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
