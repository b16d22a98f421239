// REQUIRES: qwen-opt
// RUN: qwen-opt %s --split-input-file --verify-diagnostics --assign-slots "--plan-memory=budget=128"

kernel.func rowwise @twice(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = arith.addf %x, %x : tensor<?x8xf32>
  kernel.return %0 : tensor<?x8xf32>
}
// expected-error @+1 {{entry forward needs 512 bytes of arena, the budget is 128}}
func.func @forward(%x: tensor<2x4x8xf32> {qwen.name = "x", qwen.role = "input"})
    -> (tensor<2x4x8xf32> {qwen.name = "y", qwen.role = "output"})
    attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 4 : i64}} {
  // expected-note @+1 {{256 bytes here}}
  %0 = kernel.launch @twice(%x) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  // expected-note @+1 {{256 bytes here}}
  %1 = kernel.launch @twice(%0) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %2 = kernel.launch @twice(%1) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %2 : tensor<2x4x8xf32>
}

// -----

func.func @forward(%x: tensor<2x4x8xf32> {qwen.name = "x", qwen.role = "input"})
    -> (tensor<2x4x8xf32> {qwen.name = "y", qwen.role = "output"})
    attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 4 : i64}} {
  // expected-error @+1 {{expected a kernel's result as output 0}}
  return %x : tensor<2x4x8xf32>
}
