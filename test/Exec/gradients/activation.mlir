// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient --range arg0=-3:3 | FileCheck %s

// CHECK: silu_1x1x3: d/d arg0: ok
func.func @silu_1x1x3(%x: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.activation silu %x : tensor<1x1x3xf32> -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: silu_2x3x7: d/d arg0: ok
func.func @silu_2x3x7(%x: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.activation silu %x : tensor<2x3x7xf32> -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: gelu_1x1x3: d/d arg0: ok
func.func @gelu_1x1x3(%x: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.activation gelu %x : tensor<1x1x3xf32> -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: gelu_2x3x7: d/d arg0: ok
func.func @gelu_2x3x7(%x: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.activation gelu %x : tensor<2x3x7xf32> -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: gelu_tanh_1x1x3: d/d arg0: ok
func.func @gelu_tanh_1x1x3(%x: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.activation gelu_tanh %x : tensor<1x1x3xf32> -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: gelu_tanh_2x3x7: d/d arg0: ok
func.func @gelu_tanh_2x3x7(%x: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.activation gelu_tanh %x : tensor<2x3x7xf32> -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: relu2_1x1x3: d/d arg0: ok
func.func @relu2_1x1x3(%x: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.activation relu2 %x : tensor<1x1x3xf32> -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: relu2_2x3x7: d/d arg0: ok
func.func @relu2_2x3x7(%x: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.activation relu2 %x : tensor<2x3x7xf32> -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
