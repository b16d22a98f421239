// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-gradient | FileCheck %s

// CHECK: embedding_1x1: d/d arg1: ok
func.func @embedding_1x1(%ids: tensor<1x1xi32>, %table: tensor<4x3xf32>) -> tensor<1x1x3xf32> {
  %y = qwen.embedding %ids, %table : tensor<1x1xi32>, tensor<4x3xf32> -> tensor<1x1x3xf32>
  return %y : tensor<1x1x3xf32>
}
// CHECK: embedding_2x5: d/d arg1: ok
func.func @embedding_2x5(%ids: tensor<2x5xi32>, %table: tensor<4x7xf32>) -> tensor<2x5x7xf32> {
  %y = qwen.embedding %ids, %table : tensor<2x5xi32>, tensor<4x7xf32> -> tensor<2x5x7xf32>
  return %y : tensor<2x5x7xf32>
}
// CHECK: embedding_3x4: d/d arg1: ok
func.func @embedding_3x4(%ids: tensor<3x4xi32>, %table: tensor<9x6xf32>) -> tensor<3x4x6xf32> {
  %y = qwen.embedding %ids, %table : tensor<3x4xi32>, tensor<9x6xf32> -> tensor<3x4x6xf32>
  return %y : tensor<3x4x6xf32>
}
