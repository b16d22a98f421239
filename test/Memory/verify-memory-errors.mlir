// REQUIRES: qwen-opt
// RUN: qwen-opt %s --split-input-file --verify-diagnostics --verify-memory

kernel.func rowwise @twice(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = arith.addf %x, %x : tensor<?x8xf32>
  kernel.return %0 : tensor<?x8xf32>
}
func.func @f(%x: tensor<2x4x8xf32>) attributes {qwen.entry, qwen.arena = {activations = 0 : i64, bytes = 512 : i64, workspace = 512 : i64}} {
  // expected-error @+1 {{result 0 overlaps buffer 0}}
  %0 = kernel.launch @twice(%x) {buffers = [#kernel.buffer<arena, 0, 0 * none>, #kernel.buffer<arena, 128, 0 * none>]} : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

kernel.func rowwise @twice(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = arith.addf %x, %x : tensor<?x8xf32>
  kernel.return %0 : tensor<?x8xf32>
}
func.func @f(%x: tensor<2x4x8xf32>) attributes {qwen.entry, qwen.arena = {activations = 0 : i64, bytes = 256 : i64, workspace = 256 : i64}} {
  // expected-error @+1 {{buffer 1 ends at 512, beyond the arena of 256}}
  %0 = kernel.launch @twice(%x) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<arena, 256, 0 * none>]} : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

kernel.func rowwise @twice(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = arith.addf %x, %x : tensor<?x8xf32>
  kernel.return %0 : tensor<?x8xf32>
}
func.func @f(%x: tensor<2x4x8xf32>) attributes {qwen.entry, qwen.arena = {activations = 0 : i64, bytes = 256 : i64, workspace = 256 : i64}} {
  // expected-error @+1 {{has no buffers after the memory phase}}
  %0 = kernel.launch @twice(%x) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return
}
