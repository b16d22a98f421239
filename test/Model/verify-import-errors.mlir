// REQUIRES: qwen-opt
// RUN: not qwen-opt %s --verify-import 2>&1 | FileCheck %s

// CHECK: error: expected a place in the model file for qwen.softcap
func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = qwen.softcap %x {cap = 15.0 : f64} : tensor<4xf32> -> tensor<4xf32> loc(unknown)
  return %y : tensor<4xf32>
}
