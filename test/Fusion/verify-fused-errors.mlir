// REQUIRES: qwen-opt
// RUN: qwen-opt %s --verify-diagnostics --verify-fused

func.func @logits(%x: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> attributes {qwen.entry} {
  // expected-error @+1 {{is outside of a kernel after the fuse phase}}
  %h = qwen.add %x, %x : tensor<2x4x8xf32>, tensor<2x4x8xf32> -> tensor<2x4x8xf32>
  return %h : tensor<2x4x8xf32>
}
