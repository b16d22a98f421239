// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-memory --function right | FileCheck %s --check-prefix=RIGHT
// RUN: not qwen-exec %s --check-memory --function early 2>&1 | FileCheck %s --check-prefix=EARLY
// RUN: not qwen-exec %s --check-memory --function itself 2>&1 | FileCheck %s --check-prefix=ITSELF
// RUN: not qwen-exec %s --check-memory --function parity 2>&1 | FileCheck %s --check-prefix=PARITY
// RUN: not qwen-exec %s --check-memory --function slot 2>&1 | FileCheck %s --check-prefix=SLOT
// RUN: not qwen-exec %s --check-memory --function outside 2>&1 | FileCheck %s --check-prefix=OUTSIDE
// RUN: not qwen-exec %s --check-memory --function unplanned 2>&1 | FileCheck %s --check-prefix=UNPLANNED

// The check itself: plans written by hand.

kernel.func rowwise @double(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %y = arith.addf %x, %x : tensor<?x4xf32>
  kernel.return %y : tensor<?x4xf32>
}
kernel.func rowwise @add(%x: tensor<?x4xf32>, %y: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %z = arith.addf %x, %y : tensor<?x4xf32>
  kernel.return %z : tensor<?x4xf32>
}

// RIGHT: right: everything in its place in 64 bytes
func.func @right(%x: tensor<2x4xf32>) -> tensor<2x4xf32> attributes {
    qwen.arena = {bytes = 64 : i64},
    qwen.args = [{slot = 0 : i64, count = 1 : i64, type = tensor<2x4xf32>},
                 {slot = 1 : i64, count = 1 : i64, type = tensor<2x4xf32>, role = "output"}]} {
  %a = kernel.launch @double(%x) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<arena, 0, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %b = kernel.launch @double(%a) {buffers = [#kernel.buffer<arena, 0, 0 * none>, #kernel.buffer<arena, 32, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %c = kernel.launch @add(%a, %b) {buffers = [#kernel.buffer<arena, 0, 0 * none>, #kernel.buffer<arena, 32, 0 * none>, #kernel.buffer<slot, 1, 0 * none>]} : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  return %c : tensor<2x4xf32>
}

// A place is given to another while its tensor is still read.
// EARLY: [[@LINE+7]]:8: error: 'kernel.launch' op operand 0 is not in its place
func.func @early(%x: tensor<2x4xf32>) -> tensor<2x4xf32> attributes {
    qwen.arena = {bytes = 64 : i64},
    qwen.args = [{slot = 0 : i64, count = 1 : i64, type = tensor<2x4xf32>},
                 {slot = 1 : i64, count = 1 : i64, type = tensor<2x4xf32>, role = "output"}]} {
  %a = kernel.launch @double(%x) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<arena, 0, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %b = kernel.launch @double(%x) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<arena, 28, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %c = kernel.launch @add(%a, %b) {buffers = [#kernel.buffer<arena, 0, 0 * none>, #kernel.buffer<arena, 28, 0 * none>, #kernel.buffer<slot, 1, 0 * none>]} : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  return %c : tensor<2x4xf32>
}

// A result over an operand, without kernel.inplace.
// ITSELF: [[@LINE+5]]:8: error: 'kernel.launch' op operand 0 is not in its place
func.func @itself(%x: tensor<2x4xf32>) -> tensor<2x4xf32> attributes {
    qwen.arena = {bytes = 64 : i64},
    qwen.args = [{slot = 0 : i64, count = 1 : i64, type = tensor<2x4xf32>},
                 {slot = 1 : i64, count = 1 : i64, type = tensor<2x4xf32>, role = "output"}]} {
  %a = kernel.launch @double(%x) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<slot, 0, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  return %a : tensor<2x4xf32>
}

// A loop that reads and writes the same of its two places.
// PARITY: error: 'kernel.launch' op operand 0 is not in its place in layer 1
func.func @parity(%x: tensor<2x4xf32>) -> tensor<2x4xf32> attributes {
    qwen.arena = {bytes = 64 : i64},
    qwen.args = [{slot = 0 : i64, count = 1 : i64, type = tensor<2x4xf32>},
                 {slot = 1 : i64, count = 1 : i64, type = tensor<2x4xf32>, role = "output"}]} {
  %a = kernel.launch @double(%x) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<arena, 0, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %b = qwen.layers count 2 carried(%a) slices() states() : (tensor<2x4xf32>) -> tensor<2x4xf32> {
  ^bb0(%u: tensor<2x4xf32>):
    %v = kernel.launch @double(%u) {buffers = [#kernel.buffer<arena, 0, 32 * even>, #kernel.buffer<arena, 32, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
    %w = kernel.launch @double(%v) {buffers = [#kernel.buffer<arena, 32, 0 * none>, #kernel.buffer<arena, 0, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
    qwen.yield carried(%w) stacked() states() : (tensor<2x4xf32>) -> ()
  }
  %c = kernel.launch @double(%b) {buffers = [#kernel.buffer<arena, 0, 0 * none>, #kernel.buffer<slot, 1, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  return %c : tensor<2x4xf32>
}

// SLOT: error: 'func.func' op result 0 is not in its slot
func.func @slot(%x: tensor<2x4xf32>) -> tensor<2x4xf32> attributes {
    qwen.arena = {bytes = 64 : i64},
    qwen.args = [{slot = 0 : i64, count = 1 : i64, type = tensor<2x4xf32>},
                 {slot = 1 : i64, count = 1 : i64, type = tensor<2x4xf32>, role = "output"}]} {
  %a = kernel.launch @double(%x) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<arena, 0, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  return %a : tensor<2x4xf32>
}

// OUTSIDE: error: 'kernel.launch' op result 0 lies outside of its memory
func.func @outside(%x: tensor<2x4xf32>) -> tensor<2x4xf32> attributes {
    qwen.arena = {bytes = 64 : i64},
    qwen.args = [{slot = 0 : i64, count = 1 : i64, type = tensor<2x4xf32>},
                 {slot = 1 : i64, count = 1 : i64, type = tensor<2x4xf32>, role = "output"}]} {
  %a = kernel.launch @double(%x) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<arena, 36, 0 * none>]} : (tensor<2x4xf32>) -> tensor<2x4xf32>
  return %a : tensor<2x4xf32>
}

// UNPLANNED: error: 'func.func' op expected an entry after the memory phase
func.func @unplanned(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  return %x : tensor<2x4xf32>
}
