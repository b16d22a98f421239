// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient --range arg0=-6:6 | FileCheck %s

// CHECK: softcap_1x1x3: d/d arg0: ok
func.func @softcap_1x1x3(%x: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.softcap %x {cap = 2.5 : f64} : tensor<1x1x3xf32> -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: softcap_2x3x7: d/d arg0: ok
func.func @softcap_2x3x7(%x: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.softcap %x {cap = 15.0 : f64} : tensor<2x3x7xf32> -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
