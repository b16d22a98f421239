// REQUIRES: qwen-opt
// RUN: qwen-opt %s --insert-optimizer | FileCheck %s

qwen.param @embed : tensor<32x8xf32> {axes = ["vocab", "hidden"], group = 0 : i64, index = 0 : i64}
qwen.param @norm layers 3 : tensor<8xf32> {axes = ["hidden"], group = 1 : i64, index = 1 : i64}

func.func @micro_step() {
  // Read in bf16: there is a compute storage beside the master.
  %table = qwen.get_param @embed : tensor<32x8xbf16>
  return
}

// CHECK-LABEL: func.func @optimizer_step
// CHECK-SAME: %[[HYPER:[a-z0-9]+]]: tensor<2x8xf32> {qwen.name = "hyper"
// CHECK-SAME: %[[SKIP:[a-z0-9]+]]: tensor<i32> {qwen.name = "skip"
// CHECK-SAME: qwen.storage = "master"
// CHECK-SAME: tensor<32x8xbf16> {{.*}}qwen.storage = "compute"
// CHECK: %[[ZERO:.*]] = qwen.zeros : tensor<f32>
// CHECK: %[[SUM:.*]] = qwen.layers count 3 carried(%[[ZERO]])
// CHECK: qwen.sum_squares
// CHECK: %[[ALL:.*]] = qwen.sum_squares %{{.*}} into %[[SUM]] : tensor<32x8xf32>
// CHECK: %[[NORM:.*]], %[[BAD:.*]], %[[SCALE:.*]] = qwen.clip %[[ALL]], %[[HYPER]], %[[SKIP]]
// CHECK: qwen.adamw {{.*}}, %[[HYPER]], %[[SCALE]] {group = 0 : i64}
// CHECK: qwen.cast {{.*}} : tensor<32x8xf32> -> tensor<32x8xbf16>
// CHECK: qwen.layers count 3 carried() slices() states(
// CHECK: qwen.adamw {{.*}}, %[[HYPER]], %[[SCALE]] {group = 1 : i64}
// CHECK: return %[[NORM]], %[[BAD]],

// CHECK-LABEL: func.func @convert_storage
// CHECK: qwen.cast
// CHECK: qwen.layers count 3
// CHECK: qwen.cast
