// REQUIRES: qwen-opt
// RUN: qwen-opt %s --rematerialize --verify-remat --remarks-filter=remat 2> %t.remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK < %t.remarks

// REMARK: remark: [Analysis] saved | Category:remat | Function=micro_step | Bytes=512, Remark="keeps the result of qwen.activation for the backward pass"
// REMARK: remark: [Analysis] saved | Category:remat | Function=micro_step | Bytes=1024, Remark="keeps the result of an argument of the layer for the backward pass"

// Bytes of all layers: 2 x (2x4x16) x 2 and 2 x (2x4x16) x 4.
// CHECK: module attributes {qwen.saved_bytes = {micro_step = 1536 : i64, step = 4096 : i64}}
func.func @micro_step(%x: tensor<2x4x16xf32>) -> tensor<2x4x16xf32> {
  %r:3 = qwen.layers count 2 carried(%x) slices() states()
      : (tensor<2x4x16xf32>) -> (tensor<2x4x16xf32>, tensor<2x2x4x16xbf16>, tensor<2x2x4x16xf32>) {
  ^bb0(%a: tensor<2x4x16xf32>):
    %s = qwen.activation silu %a : tensor<2x4x16xf32> -> tensor<2x4x16xbf16>
    qwen.yield carried(%a) stacked(%s, %a) states() : (tensor<2x4x16xf32>, tensor<2x4x16xbf16>, tensor<2x4x16xf32>) -> ()
  }
  return %r#0 : tensor<2x4x16xf32>
}
func.func @logits(%x: tensor<4xf32>) {
  return
}

// With a limit: what costs the fewest operations for each byte is recomputed
// first, the elementwise ops here and then the projection that they are made of.
// The layer's input is left.
// RUN: qwen-opt %s --rematerialize=saved-bytes=3200 --verify-remat --remarks-filter=remat 2> %t.some | FileCheck %s --check-prefix=SOME
// RUN: FileCheck %s --check-prefix=SOME-REMARK < %t.some
// RUN: qwen-opt %s --rematerialize=saved-bytes=0 --verify-remat --remarks-filter=remat 2> %t.all | FileCheck %s --check-prefix=ALL
// RUN: FileCheck %s --check-prefix=ALL-REMARK < %t.all

// SOME-REMARK: remark: [Passed] recomputed | Category:remat | Function=step | Bytes=1024, Flops=2560, Remark="recomputes the result of qwen.activation in the backward pass"
// SOME-REMARK-NOT: recomputed
// SOME: qwen.saved_bytes = {micro_step = 1536 : i64, step = 3072 : i64}
// SOME-LABEL: func.func @step
// SOME: %[[F:.*]]:4 = qwen.layers count 2 carried(%arg0) slices() states()
// SOME: %[[H:.*]] = qwen.linear
// SOME: %[[G:.*]] = qwen.glu
// SOME: stacked(%{{.*}}, %[[H]], %[[G]])
// SOME: qwen.layers count 2 reverse carried(%arg1) slices(%[[F]]#1, %[[F]]#2, %[[F]]#3) states(%arg2)
// SOME: ^bb0(%{{.*}}: tensor<2x4x16xf32>, %{{.*}}: tensor<2x4x16xf32>, %[[SH:[^:]*]]: tensor<2x4x16xf32>, %{{.*}}: tensor<2x4x16xf32>, %{{.*}}: tensor<16x16xf32>):
// SOME: qwen.linear_weight_grad
// SOME-NEXT: %[[U:.*]] = qwen.activation gelu %[[SH]]
// SOME-NEXT: qwen.add %{{.*}}, %[[U]]

// ALL-REMARK: Flops=2560, Remark="recomputes the result of qwen.activation
// ALL-REMARK: Bytes=1024, Flops=2816, Remark="recomputes the result of qwen.glu
// ALL-REMARK: Bytes=1024, Flops=8192, Remark="recomputes the result of qwen.linear
// ALL-REMARK-NOT: recomputed
// ALL: qwen.saved_bytes = {micro_step = 1536 : i64, step = 1024 : i64}
// ALL-LABEL: func.func @step
// ALL: qwen.layers count 2 reverse carried(%arg1) slices(%{{.*}}#1) states(%arg2)
// ALL: ^bb0(%{{.*}}: tensor<2x4x16xf32>, %[[X:[^:]*]]: tensor<2x4x16xf32>, %{{.*}}: tensor<16x16xf32>)
// ALL: %[[W:.*]] = qwen.get_param @w
// ALL-NEXT: %[[H:.*]] = qwen.linear %[[X]], %[[W]]
// ALL-NEXT: qwen.activation_grad silu %{{.*}}, %[[H]]
// ALL: %[[U:.*]] = qwen.activation gelu %[[H]]
// ALL-NEXT: qwen.glu silu %[[H]], %[[U]]
// ALL-NEXT: qwen.linear_weight_grad
// ALL-NEXT: qwen.add %{{.*}}, %[[U]]
qwen.param @w layers 2 : tensor<16x16xf32> {axes = ["a", "b"], group = 0 : i64, index = 0 : i64}
func.func @step(%x: tensor<2x4x16xf32>, %dy: tensor<2x4x16xf32>, %dw: tensor<2x16x16xf32>) -> (tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x16x16xf32>) {
  %f:5 = qwen.layers count 2 carried(%x) slices() states()
      : (tensor<2x4x16xf32>) -> (tensor<2x4x16xf32>, tensor<2x2x4x16xf32>, tensor<2x2x4x16xf32>, tensor<2x2x4x16xf32>, tensor<2x2x4x16xf32>) {
  ^bb0(%a: tensor<2x4x16xf32>):
    %w = qwen.get_param @w : tensor<16x16xf32>
    %h = qwen.linear %a, %w : (tensor<2x4x16xf32>, tensor<16x16xf32>) -> tensor<2x4x16xf32>
    %u = qwen.activation gelu %h : tensor<2x4x16xf32> -> tensor<2x4x16xf32>
    %g = qwen.glu silu %h, %u : (tensor<2x4x16xf32>, tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
    qwen.yield carried(%g) stacked(%a, %h, %u, %g) states() : (tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x4x16xf32>) -> ()
  }
  %b:2 = qwen.layers count 2 reverse carried(%dy) slices(%f#1, %f#2, %f#3, %f#4) states(%dw)
      : (tensor<2x4x16xf32>, tensor<2x2x4x16xf32>, tensor<2x2x4x16xf32>, tensor<2x2x4x16xf32>, tensor<2x2x4x16xf32>, tensor<2x16x16xf32>) -> (tensor<2x4x16xf32>, tensor<2x16x16xf32>) {
  ^bb0(%d: tensor<2x4x16xf32>, %a: tensor<2x4x16xf32>, %h: tensor<2x4x16xf32>, %u: tensor<2x4x16xf32>, %g: tensor<2x4x16xf32>, %acc: tensor<16x16xf32>):
    %dh = qwen.activation_grad silu %d, %h : (tensor<2x4x16xf32>, tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
    %n = qwen.linear_weight_grad %dh, %g into %acc : tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
    %s = qwen.add %dh, %u : tensor<2x4x16xf32>, tensor<2x4x16xf32> -> tensor<2x4x16xf32>
    %t = qwen.add %s, %a : tensor<2x4x16xf32>, tensor<2x4x16xf32> -> tensor<2x4x16xf32>
    qwen.yield carried(%t) stacked() states(%n) : (tensor<2x4x16xf32>, tensor<16x16xf32>) -> ()
  }
  return %f#0, %b#0, %b#1 : tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x16x16xf32>
}
