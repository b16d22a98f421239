// REQUIRES: qwen-opt
// RUN: qwen-opt %s --rematerialize --verify-remat --remarks-filter=remat 2> %t.remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK < %t.remarks

// REMARK: remark: [Analysis] saved | Category:remat | Function=micro_step | Bytes=512, Remark="keeps the result of qwen.activation for the backward pass"
// REMARK: remark: [Analysis] saved | Category:remat | Function=micro_step | Bytes=1024, Remark="keeps the result of an argument of the layer for the backward pass"

// Bytes of all layers: 2 x (2x4x16) x 2 and 2 x (2x4x16) x 4.
// CHECK: module attributes {qwen.saved_bytes = {micro_step = 1536 : i64}}
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
