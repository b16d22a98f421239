// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient | FileCheck %s

// CHECK: add_1x1: d/d arg0: ok
// CHECK-NEXT: add_1x1: d/d arg1: ok
func.func @add_1x1(%x: tensor<1x1x5xf32>, %y: tensor<1x1x5xf32>) -> tensor<1x1x5xf32> {
  %z = qwen.add %x, %y : tensor<1x1x5xf32>, tensor<1x1x5xf32> -> tensor<1x1x5xf32>
  return %z : tensor<1x1x5xf32>
}
// CHECK: add_2x3: d/d arg0: ok
// CHECK-NEXT: add_2x3: d/d arg1: ok
func.func @add_2x3(%x: tensor<2x3x5xf32>, %y: tensor<2x3x5xf32>) -> tensor<2x3x5xf32> {
  %z = qwen.add %x, %y : tensor<2x3x5xf32>, tensor<2x3x5xf32> -> tensor<2x3x5xf32>
  return %z : tensor<2x3x5xf32>
}
// CHECK: add_3x7: d/d arg0: ok
// CHECK-NEXT: add_3x7: d/d arg1: ok
func.func @add_3x7(%x: tensor<3x7x5xf32>, %y: tensor<3x7x5xf32>) -> tensor<3x7x5xf32> {
  %z = qwen.add %x, %y : tensor<3x7x5xf32>, tensor<3x7x5xf32> -> tensor<3x7x5xf32>
  return %z : tensor<3x7x5xf32>
}
// A value used twice, and a result that is also an operand.
// CHECK: add_twice: d/d arg0: ok
// CHECK-NEXT: add_twice: d/d arg1: ok
func.func @add_twice(%x: tensor<2x3x5xf32>, %y: tensor<2x3x5xf32>) -> (tensor<2x3x5xf32>, tensor<2x3x5xf32>) {
  %z = qwen.add %x, %x : tensor<2x3x5xf32>, tensor<2x3x5xf32> -> tensor<2x3x5xf32>
  %u = qwen.add %z, %y : tensor<2x3x5xf32>, tensor<2x3x5xf32> -> tensor<2x3x5xf32>
  return %z, %u : tensor<2x3x5xf32>, tensor<2x3x5xf32>
}
