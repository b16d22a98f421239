// REQUIRES: qwen-opt
// RUN: qwen-opt %s --insert-optimizer | FileCheck %s

// Parameters of a group of Muon have no second moment; the factor is that of the
// logical (out, in) matrix: sqrt(max(1, 32 / 8)) for shape_scaling.
module attributes {qwen.optimizer_groups = [{kind = "adamw"}, {kind = "adamw"}, {kind = "muon", nesterov = true, scale = "shape_scaling", steps = 5 : i64}, {kind = "muon", nesterov = false, scale = "match_rms_adamw", steps = 3 : i64}]} {
qwen.param @embed : tensor<32x8xf32> {axes = ["vocab", "hidden"], group = 0 : i64, index = 0 : i64}
qwen.param @up layers 3 : tensor<32x8xf32> {axes = ["ffn", "hidden"], group = 2 : i64, index = 1 : i64}
qwen.param @down layers 3 : tensor<8x25xf32> {axes = ["hidden", "ffn"], group = 3 : i64, index = 2 : i64}

func.func @micro_step() {
  %table = qwen.get_param @embed : tensor<32x8xbf16>
  return
}

// CHECK-LABEL: func.func @optimizer_step
// CHECK-SAME: tensor<4x8xf32> {qwen.name = "hyper"
// CHECK-SAME: qwen.name = "embed", qwen.param = @embed, qwen.role = "moment2"
// CHECK-SAME: qwen.name = "up", qwen.param = @up, qwen.role = "moment1"
// CHECK-NOT: qwen.name = "up", qwen.param = @up, qwen.role = "moment2"
// CHECK: qwen.adamw
// CHECK: qwen.layers count 3 carried() slices() states(
// CHECK: %[[UP:.*]], %{{.*}}, %{{.*}} = qwen.muon {{.*}} {bf16, factor = 2.000000e+00 : f64, group = 2 : i64, nesterov, steps = 5 : i64}
// CHECK: qwen.cast %[[UP]] : tensor<32x8xf32> -> tensor<32x8xbf16>
// CHECK: qwen.muon {{.*}} {bf16, factor = 1.000000e+00 : f64, group = 3 : i64, steps = 3 : i64}
}
