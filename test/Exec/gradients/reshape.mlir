// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient | FileCheck %s

// CHECK: heads: d/d arg0: ok
func.func @heads(%x: tensor<2x3x12xf32>) -> tensor<2x3x2x6xf32> {
  %y = qwen.reshape %x : tensor<2x3x12xf32> -> tensor<2x3x2x6xf32>
  %z = qwen.rms_norm %y {eps = 1.0e-6 : f64} : (tensor<2x3x2x6xf32>) -> tensor<2x3x2x6xf32>
  return %z : tensor<2x3x2x6xf32>
}
