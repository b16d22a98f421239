// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient --range arg0=-3:3 | FileCheck %s

// CHECK: silu_1x1x3: d/d arg0: ok
// CHECK-NEXT: silu_1x1x3: d/d arg1: ok
func.func @silu_1x1x3(%gate: tensor<1x1x3xf32>, %up: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.glu silu %gate, %up : (tensor<1x1x3xf32>, tensor<1x1x3xf32>) -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: silu_2x3x7: d/d arg0: ok
// CHECK-NEXT: silu_2x3x7: d/d arg1: ok
func.func @silu_2x3x7(%gate: tensor<2x3x7xf32>, %up: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.glu silu %gate, %up : (tensor<2x3x7xf32>, tensor<2x3x7xf32>) -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: gelu_1x1x3: d/d arg0: ok
// CHECK-NEXT: gelu_1x1x3: d/d arg1: ok
func.func @gelu_1x1x3(%gate: tensor<1x1x3xf32>, %up: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.glu gelu %gate, %up : (tensor<1x1x3xf32>, tensor<1x1x3xf32>) -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: gelu_2x3x7: d/d arg0: ok
// CHECK-NEXT: gelu_2x3x7: d/d arg1: ok
func.func @gelu_2x3x7(%gate: tensor<2x3x7xf32>, %up: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.glu gelu %gate, %up : (tensor<2x3x7xf32>, tensor<2x3x7xf32>) -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: gelu_tanh_1x1x3: d/d arg0: ok
// CHECK-NEXT: gelu_tanh_1x1x3: d/d arg1: ok
func.func @gelu_tanh_1x1x3(%gate: tensor<1x1x3xf32>, %up: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.glu gelu_tanh %gate, %up : (tensor<1x1x3xf32>, tensor<1x1x3xf32>) -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: gelu_tanh_2x3x7: d/d arg0: ok
// CHECK-NEXT: gelu_tanh_2x3x7: d/d arg1: ok
func.func @gelu_tanh_2x3x7(%gate: tensor<2x3x7xf32>, %up: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.glu gelu_tanh %gate, %up : (tensor<2x3x7xf32>, tensor<2x3x7xf32>) -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
// CHECK: relu2_1x1x3: d/d arg0: ok
// CHECK-NEXT: relu2_1x1x3: d/d arg1: ok
func.func @relu2_1x1x3(%gate: tensor<1x1x3xf32>, %up: tensor<1x1x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.glu relu2 %gate, %up : (tensor<1x1x3xf32>, tensor<1x1x3xf32>) -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: relu2_2x3x7: d/d arg0: ok
// CHECK-NEXT: relu2_2x3x7: d/d arg1: ok
func.func @relu2_2x3x7(%gate: tensor<2x3x7xf32>, %up: tensor<2x3x7xf32>) -> tensor<2x3x7xf32> {
  %y = qwen.glu relu2 %gate, %up : (tensor<2x3x7xf32>, tensor<2x3x7xf32>) -> tensor<2x3x7xf32>
  return %y : tensor<2x3x7xf32>
}
