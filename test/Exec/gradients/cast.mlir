// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient | FileCheck %s

// The rounding has the derivative of no rounding: both types are f64 here.
// CHECK: cast: d/d arg0: ok
func.func @cast(%x: tensor<2x3x5xf32>) -> tensor<2x3x5xf32> {
  %y = qwen.cast %x : tensor<2x3x5xf32> -> tensor<2x3x5xbf16>
  %z = qwen.activation silu %y : tensor<2x3x5xbf16> -> tensor<2x3x5xbf16>
  %u = qwen.cast %z : tensor<2x3x5xbf16> -> tensor<2x3x5xf32>
  return %u : tensor<2x3x5xf32>
}
// The operands of an add in different types.
// CHECK: mixed: d/d arg0: ok
// CHECK-NEXT: mixed: d/d arg1: ok
func.func @mixed(%x: tensor<2x3x5xf32>, %y: tensor<2x3x5xbf16>) -> tensor<2x3x5xf32> {
  %z = qwen.add %x, %y : tensor<2x3x5xf32>, tensor<2x3x5xbf16> -> tensor<2x3x5xf32>
  return %z : tensor<2x3x5xf32>
}
