// REQUIRES: qwen-opt
// RUN: qwen-opt %s --assign-slots --plan-memory --verify-memory | FileCheck %s

qwen.param @w layers 3 : tensor<8xf32> {axes = ["hidden"], group = 0 : i64, index = 0 : i64}

kernel.func rowwise @scale(%x: tensor<?x8xf32>, %w: tensor<8xf32>) -> tensor<?x8xf32> {
  %0 = kernel.broadcast %w dims [1] : tensor<8xf32> -> tensor<?x8xf32>
  %1 = arith.mulf %x, %0 : tensor<?x8xf32>
  kernel.return %1 : tensor<?x8xf32>
}
kernel.func rowwise @twice(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = arith.addf %x, %x : tensor<?x8xf32>
  kernel.return %0 : tensor<?x8xf32>
}

// The carried value alternates between two places of 256 bytes; what only one
// iteration needs follows; the parameter has one slot for each layer.
// CHECK-LABEL: func.func @forward
// CHECK-SAME: qwen.arena = {activations = 0 : i64, bytes = 768 : i64, workspace = 768 : i64}
// CHECK-SAME: qwen.args = [{{.*}}slot = 0 : i64{{.*}}, {count = 3 : i64, {{.*}}parameter = @w, {{.*}}slot = 1 : i64{{.*}}, {{.*}}slot = 4 : i64
// CHECK: kernel.launch @twice(%arg0) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<arena, 0, 0 * none>]}
// CHECK: kernel.launch @scale({{.*}}) {buffers = [#kernel.buffer<arena, 0, 256 * even>, #kernel.buffer<slot, 1, 1 * layer>, #kernel.buffer<arena, 512, 0 * none>]}
// CHECK: kernel.launch @twice({{.*}}) {buffers = [#kernel.buffer<arena, 512, 0 * none>, #kernel.buffer<arena, 0, 256 * odd>]}
// After three iterations it lies in the second place.
// CHECK: kernel.launch @twice({{.*}}) {buffers = [#kernel.buffer<arena, 256, 0 * none>, #kernel.buffer<slot, 4, 0 * none>]}
func.func @forward(%x: tensor<2x4x8xf32> {qwen.name = "x", qwen.role = "input"})
    -> (tensor<2x4x8xf32> {qwen.name = "y", qwen.role = "output"})
    attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 4 : i64}} {
  %0 = kernel.launch @twice(%x) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %1 = qwen.layers count 3 carried(%0) slices() states() : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  ^bb0(%a: tensor<2x4x8xf32>):
    %w = qwen.get_param @w : tensor<8xf32>
    %b = kernel.launch @scale(%a, %w) : (tensor<2x4x8xf32>, tensor<8xf32>) -> tensor<2x4x8xf32>
    %c = kernel.launch @twice(%b) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
    qwen.yield carried(%c) stacked() states() : (tensor<2x4x8xf32>) -> ()
  }
  %2 = kernel.launch @twice(%1) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %2 : tensor<2x4x8xf32>
}

// A carried value that every iteration saves walks along its stack.
// CHECK-LABEL: func.func @saving
// CHECK-SAME: qwen.arena = {activations = 1024 : i64
// CHECK: kernel.launch @twice({{.*}}) {buffers = [#kernel.buffer<arena, 0, 256 * layer>, #kernel.buffer<arena, 0, 256 * next_layer>]}
// CHECK: qwen.layers count 3 reverse
// CHECK: kernel.launch @scale({{.*}}) {buffers = [#kernel.buffer<arena, 0, 256 * layer>,
func.func @saving(%x: tensor<2x4x8xf32> {qwen.name = "x", qwen.role = "input"})
    -> (tensor<2x4x8xf32> {qwen.name = "y", qwen.role = "output"})
    attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 4 : i64}} {
  %0 = kernel.launch @twice(%x) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %1:2 = qwen.layers count 3 carried(%0) slices() states() : (tensor<2x4x8xf32>) -> (tensor<2x4x8xf32>, tensor<3x2x4x8xf32>) {
  ^bb0(%a: tensor<2x4x8xf32>):
    %c = kernel.launch @twice(%a) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
    qwen.yield carried(%c) stacked(%a) states() : (tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> ()
  }
  %2 = kernel.launch @twice(%1#0) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %3 = qwen.layers count 3 reverse carried(%2) slices(%1#1) states() : (tensor<2x4x8xf32>, tensor<3x2x4x8xf32>) -> tensor<2x4x8xf32> {
  ^bb0(%a: tensor<2x4x8xf32>, %s: tensor<2x4x8xf32>):
    %w = qwen.get_param @w : tensor<8xf32>
    %t = kernel.launch @scale(%s, %w) : (tensor<2x4x8xf32>, tensor<8xf32>) -> tensor<2x4x8xf32>
    %c = kernel.launch @twice(%t) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
    qwen.yield carried(%c) stacked() states() : (tensor<2x4x8xf32>) -> ()
  }
  %4 = kernel.launch @twice(%3) : (tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %4 : tensor<2x4x8xf32>
}
