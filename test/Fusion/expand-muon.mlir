// REQUIRES: qwen-opt
// RUN: qwen-opt %s --expand-muon | FileCheck %s

// More columns than rows: the Gram matrix of the rows; iterates in bf16.
// CHECK-LABEL: func.func @wide
// CHECK-SAME: %[[P:[a-z0-9]+]]: tensor<4x6xf32>, %[[G:[a-z0-9]+]]: tensor<4x6xf32>, %[[M:[a-z0-9]+]]: tensor<4x6xf32>, %[[H:[a-z0-9]+]]: tensor<2x8xf32>, %[[S:[a-z0-9]+]]:
// CHECK: %[[U:.*]], %[[NG:.*]], %[[NM:.*]] = qwen.muon_momentum %[[G]], %[[M]], %[[H]], %[[S]] {group = 1 : i64, nesterov} : {{.*}} -> (tensor<4x6xbf16>, tensor<4x6xf32>, tensor<4x6xf32>)
// CHECK: %[[SUM:.*]] = qwen.sum_squares %[[U]] : tensor<4x6xbf16> -> tensor<f32>
// CHECK: %[[X:.*]] = qwen.muon_normalize %[[U]], %[[SUM]], %[[H]] {group = 1 : i64}
// CHECK: %[[A:.*]] = qwen.matmul nt %[[X]], %[[X]] : (tensor<4x6xbf16>, tensor<4x6xbf16>) -> tensor<4x4xbf16>
// CHECK: %[[B:.*]] = qwen.matmul nn %[[A]], %[[A]] plus %[[A]] {alpha = 2.031500e+00 : f64, beta = -4.775000e+00 : f64}
// CHECK: %[[X1:.*]] = qwen.matmul nn %[[B]], %[[X]] plus %[[X]] {beta = 3.444500e+00 : f64} : {{.*}} -> tensor<4x6xbf16>
// CHECK: qwen.matmul nt %[[X1]], %[[X1]]
// CHECK: qwen.matmul nn
// CHECK: %[[X2:.*]] = qwen.matmul nn
// CHECK-NOT: qwen.matmul
// CHECK: %[[NP:.*]] = qwen.muon_update %[[P]], %[[X2]], %[[H]], %[[S]] {factor = 2.000000e+00 : f64, group = 1 : i64}
// CHECK: return %[[NP]], %[[NG]], %[[NM]]
func.func @wide(%p: tensor<4x6xf32>, %g: tensor<4x6xf32>, %m: tensor<4x6xf32>, %h: tensor<2x8xf32>, %s: tensor<f32>)
    -> (tensor<4x6xf32>, tensor<4x6xf32>, tensor<4x6xf32>) {
  %r:3 = qwen.muon %p, %g, %m, %h, %s {bf16, factor = 2.0 : f64, group = 1 : i64, nesterov, steps = 2 : i64}
    : (tensor<4x6xf32>, tensor<4x6xf32>, tensor<4x6xf32>, tensor<2x8xf32>, tensor<f32>) -> (tensor<4x6xf32>, tensor<4x6xf32>, tensor<4x6xf32>)
  return %r#0, %r#1, %r#2 : tensor<4x6xf32>, tensor<4x6xf32>, tensor<4x6xf32>
}

// More rows than columns: that of the columns, and nothing is transposed.
// CHECK-LABEL: func.func @tall
// CHECK: %[[X:.*]] = qwen.muon_normalize
// CHECK: %[[A:.*]] = qwen.matmul tn %[[X]], %[[X]] : (tensor<6x4xf32>, tensor<6x4xf32>) -> tensor<4x4xf32>
// CHECK: %[[B:.*]] = qwen.matmul nn %[[A]], %[[A]] plus %[[A]]
// CHECK: qwen.matmul nn %[[X]], %[[B]] plus %[[X]] {beta = 3.444500e+00 : f64} : {{.*}} -> tensor<6x4xf32>
func.func @tall(%p: tensor<6x4xf32>, %h: tensor<2x8xf32>, %s: tensor<f32>) -> tensor<6x4xf32> {
  %r:3 = qwen.muon %p, %p, %p, %h, %s {factor = 1.0 : f64, group = 0 : i64, steps = 1 : i64}
    : (tensor<6x4xf32>, tensor<6x4xf32>, tensor<6x4xf32>, tensor<2x8xf32>, tensor<f32>) -> (tensor<6x4xf32>, tensor<6x4xf32>, tensor<6x4xf32>)
  return %r#0 : tensor<6x4xf32>
}
