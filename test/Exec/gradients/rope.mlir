// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient | FileCheck %s

// CHECK: rope_1x2: d/d arg0: ok
func.func @rope_1x2(%x: tensor<1x1x1x2xf32>) -> tensor<1x1x1x2xf32> {
  %p = qwen.positions -> tensor<1x1xi32>
  %cos, %sin = qwen.rope_table %p {inv_freq = array<f32: 1.0>, factor = 1.25 : f64} : (tensor<1x1xi32>) -> (tensor<1x1x1xf32>, tensor<1x1x1xf32>)
  %y = qwen.rope %x, %cos, %sin : (tensor<1x1x1x2xf32>, tensor<1x1x1xf32>, tensor<1x1x1xf32>) -> tensor<1x1x1x2xf32>
  return %y : tensor<1x1x1x2xf32>
}
// CHECK: inverse_1x2: d/d arg0: ok
func.func @inverse_1x2(%x: tensor<1x1x1x2xf32>) -> tensor<1x1x1x2xf32> {
  %p = qwen.positions -> tensor<1x1xi32>
  %cos, %sin = qwen.rope_table %p {inv_freq = array<f32: 1.0>, factor = 1.25 : f64} : (tensor<1x1xi32>) -> (tensor<1x1x1xf32>, tensor<1x1x1xf32>)
  %y = qwen.rope inverse %x, %cos, %sin : (tensor<1x1x1x2xf32>, tensor<1x1x1xf32>, tensor<1x1x1xf32>) -> tensor<1x1x1x2xf32>
  return %y : tensor<1x1x1x2xf32>
}
// CHECK: rope_5x6: d/d arg0: ok
func.func @rope_5x6(%x: tensor<2x5x3x6xf32>) -> tensor<2x5x3x6xf32> {
  %p = qwen.positions -> tensor<2x5xi32>
  %cos, %sin = qwen.rope_table %p {inv_freq = array<f32: 1.0, 0.0464158883, 0.00215443469>, factor = 1.25 : f64} : (tensor<2x5xi32>) -> (tensor<2x5x3xf32>, tensor<2x5x3xf32>)
  %y = qwen.rope %x, %cos, %sin : (tensor<2x5x3x6xf32>, tensor<2x5x3xf32>, tensor<2x5x3xf32>) -> tensor<2x5x3x6xf32>
  return %y : tensor<2x5x3x6xf32>
}
// CHECK: inverse_5x6: d/d arg0: ok
func.func @inverse_5x6(%x: tensor<2x5x3x6xf32>) -> tensor<2x5x3x6xf32> {
  %p = qwen.positions -> tensor<2x5xi32>
  %cos, %sin = qwen.rope_table %p {inv_freq = array<f32: 1.0, 0.0464158883, 0.00215443469>, factor = 1.25 : f64} : (tensor<2x5xi32>) -> (tensor<2x5x3xf32>, tensor<2x5x3xf32>)
  %y = qwen.rope inverse %x, %cos, %sin : (tensor<2x5x3x6xf32>, tensor<2x5x3xf32>, tensor<2x5x3xf32>) -> tensor<2x5x3x6xf32>
  return %y : tensor<2x5x3x6xf32>
}
// CHECK: rope_3x20: d/d arg0: ok
func.func @rope_3x20(%x: tensor<1x3x2x20xf32>) -> tensor<1x3x2x20xf32> {
  %p = qwen.positions -> tensor<1x3xi32>
  %cos, %sin = qwen.rope_table %p {inv_freq = array<f32: 1.0, 0.398107171, 0.158489319, 0.0630957344, 0.0251188643, 0.01, 0.00398107171, 0.00158489319, 0.000630957344, 0.000251188643>, factor = 1.25 : f64} : (tensor<1x3xi32>) -> (tensor<1x3x10xf32>, tensor<1x3x10xf32>)
  %y = qwen.rope %x, %cos, %sin : (tensor<1x3x2x20xf32>, tensor<1x3x10xf32>, tensor<1x3x10xf32>) -> tensor<1x3x2x20xf32>
  return %y : tensor<1x3x2x20xf32>
}
// CHECK: inverse_3x20: d/d arg0: ok
func.func @inverse_3x20(%x: tensor<1x3x2x20xf32>) -> tensor<1x3x2x20xf32> {
  %p = qwen.positions -> tensor<1x3xi32>
  %cos, %sin = qwen.rope_table %p {inv_freq = array<f32: 1.0, 0.398107171, 0.158489319, 0.0630957344, 0.0251188643, 0.01, 0.00398107171, 0.00158489319, 0.000630957344, 0.000251188643>, factor = 1.25 : f64} : (tensor<1x3xi32>) -> (tensor<1x3x10xf32>, tensor<1x3x10xf32>)
  %y = qwen.rope inverse %x, %cos, %sin : (tensor<1x3x2x20xf32>, tensor<1x3x10xf32>, tensor<1x3x10xf32>) -> tensor<1x3x2x20xf32>
  return %y : tensor<1x3x2x20xf32>
}
