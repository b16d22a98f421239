// REQUIRES: qwen-opt
// RUN: qwen-opt %s --form-kernels | FileCheck %s

qwen.param @w : tensor<16x8xbf16> {axes = ["a", "b"], group = 0 : i64, index = 0 : i64}
qwen.param @n : tensor<8xbf16> {axes = ["b"], group = 0 : i64, index = 1 : i64}

// A residual add joins the norm behind it; both results are written. An
// elementwise op joins the epilogue of the contraction, rounding kept.
// CHECK-LABEL: func.func @logits
// CHECK: %[[H:.*]]:2 = kernel.launch @add_rms_norm(%arg0, %arg1, %{{.*}})
// CHECK: %[[Y:.*]] = kernel.launch @linear_activation(%[[H]]#{{[01]}}, %{{.*}})
// CHECK: kernel.launch @rms_norm(%[[H]]#
// CHECK-NOT: qwen.rms_norm
func.func @logits(%x: tensor<2x4x8xbf16> {qwen.name = "x", qwen.role = "input"},
                  %r: tensor<2x4x8xbf16> {qwen.name = "r", qwen.role = "input"})
    -> (tensor<2x4x16xbf16> {qwen.role = "output"}, tensor<2x4x8xbf16> {qwen.role = "output"})
    attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 4 : i64}} {
  %w = qwen.get_param @w : tensor<16x8xbf16>
  %n = qwen.get_param @n : tensor<8xbf16>
  %h = qwen.add %x, %r : tensor<2x4x8xbf16>, tensor<2x4x8xbf16> -> tensor<2x4x8xbf16>
  %y = qwen.rms_norm %h weight %n {eps = 1.0e-6 : f64} : (tensor<2x4x8xbf16>, tensor<8xbf16>) -> tensor<2x4x8xbf16>
  %z = qwen.linear %y, %w : (tensor<2x4x8xbf16>, tensor<16x8xbf16>) -> tensor<2x4x16xbf16>
  %a = qwen.activation silu %z : tensor<2x4x16xbf16> -> tensor<2x4x16xbf16>
  %v = qwen.reshape %h : tensor<2x4x8xbf16> -> tensor<2x4x2x4xbf16>
  // Per-head rows: not those of the add.
  %q = qwen.rms_norm %v {eps = 1.0e-6 : f64} : (tensor<2x4x2x4xbf16>) -> tensor<2x4x2x4xbf16>
  %u = qwen.reshape %q : tensor<2x4x2x4xbf16> -> tensor<2x4x8xbf16>
  return %a, %u : tensor<2x4x16xbf16>, tensor<2x4x8xbf16>
}

// Rows are dynamic; batch and sequence are one dimension.
// CHECK: kernel.func rowwise @add_rms_norm(%{{.*}}: tensor<?x8xbf16>, %{{.*}}: tensor<?x8xbf16>, %{{.*}}: tensor<8xbf16>) -> (tensor<?x8xbf16>, tensor<?x8xbf16>)
// CHECK: %[[SUM:.*]] = arith.addf
// CHECK: %[[ROUND:.*]] = arith.truncf %[[SUM]] : tensor<?x8xf32> to tensor<?x8xbf16>
// CHECK: arith.extf %[[ROUND]]
// CHECK: kernel.reduce add
// CHECK: kernel.func contract @linear_activation
// CHECK: kernel.contract "mk,nk->mn"
// CHECK: arith.truncf
// CHECK: arith.extf
// CHECK: kernel.func rowwise @rms_norm(%{{.*}}: tensor<?x2x4xbf16>) -> tensor<?x2x4xbf16>
