// REQUIRES: qwen-exec
// RUN: qwen-exec %s | FileCheck %s
// RUN: qwen-exec %s --function rounding --type=f64 | FileCheck %s --check-prefix=F64
// RUN: qwen-exec %s --function inputs --seed 7 > %t.a
// RUN: qwen-exec %s --function inputs --seed 7 | diff - %t.a
// RUN: qwen-exec %s --function inputs --seed 8 | not diff - %t.a
// RUN: qwen-exec %s --function inputs --range ids=5:5 --range arg0=0.5:0.5 | FileCheck %s --check-prefix=INPUTS

// The elementary ops, by hand.

// CHECK: broadcast#0: tensor<2x3x2xi32> = [1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3]
// CHECK: broadcast#1: tensor<2x3xi32> = [5, 5, 5, 6, 6, 6]
func.func @broadcast() -> (tensor<2x3x2xi32>, tensor<2x3xi32>) {
  %x = arith.constant dense<[1, 2, 3]> : tensor<3xi32>
  %y = arith.constant dense<[[5], [6]]> : tensor<2x1xi32>
  %a = kernel.broadcast %x dims [1] : tensor<3xi32> -> tensor<2x3x2xi32>
  %b = kernel.broadcast %y dims [0, 1] : tensor<2x1xi32> -> tensor<2x3xi32>
  return %a, %b : tensor<2x3x2xi32>, tensor<2x3xi32>
}

// CHECK: reduce#0: tensor<2xf32> = [6, 15]
// CHECK: reduce#1: tensor<3xf32> = [4, 5, 6]
// CHECK: reduce#2: tensor<f32> = [21]
// CHECK: reduce#3: tensor<f32> = [nan]
// CHECK: reduce#4: tensor<f32> = [-inf]
func.func @reduce() -> (tensor<2xf32>, tensor<3xf32>, tensor<f32>, tensor<f32>, tensor<f32>) {
  %x = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %y = arith.constant dense<[1.0, 0x7FC00000, 2.0]> : tensor<3xf32>
  %z = arith.constant dense<0xFF800000> : tensor<2xf32>
  %a = kernel.reduce add %x dims [1] : tensor<2x3xf32> -> tensor<2xf32>
  %b = kernel.reduce max %x dims [0] : tensor<2x3xf32> -> tensor<3xf32>
  %c = kernel.reduce add %x dims [0, 1] : tensor<2x3xf32> -> tensor<f32>
  %d = kernel.reduce max %y dims [0] : tensor<3xf32> -> tensor<f32>
  %e = kernel.reduce max %z dims [0] : tensor<2xf32> -> tensor<f32>
  return %a, %b, %c, %d, %e : tensor<2xf32>, tensor<3xf32>, tensor<f32>, tensor<f32>, tensor<f32>
}

// x = [[1, 2, 3], [4, 5, 6]], y = [[1, 0, 1], [0, 2, 0]].
// CHECK: contract#0: tensor<2x2xf32> = [4, 4, 10, 10]
// CHECK: contract#1: tensor<3x3xf32> = [1, 8, 1, 2, 10, 2, 3, 12, 3]
// CHECK: contract#2: tensor<2xf32> = [4, 10]
// CHECK: contract#3: tensor<3x2xf32> = [1, 4, 2, 5, 3, 6]
func.func @contract() -> (tensor<2x2xf32>, tensor<3x3xf32>, tensor<2xf32>, tensor<3x2xf32>) {
  %x = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xbf16>
  %y = arith.constant dense<[[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]]> : tensor<2x3xf32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %a = kernel.contract "mk,nk->mn" %x, %y : tensor<2x3xbf16>, tensor<2x3xf32> -> tensor<2x2xf32>
  %b = kernel.contract "mk,mn->kn" %x, %y : tensor<2x3xbf16>, tensor<2x3xf32> -> tensor<3x3xf32>
  %c = kernel.contract "mk,mk->m" %x, %y : tensor<2x3xbf16>, tensor<2x3xf32> -> tensor<2xf32>
  %d = kernel.contract "mk,->km" %x, %one : tensor<2x3xbf16>, tensor<f32> -> tensor<3x2xf32>
  return %a, %b, %c, %d : tensor<2x2xf32>, tensor<3x3xf32>, tensor<2xf32>, tensor<3x2xf32>
}

// Ids outside of the table: zeros from a gather, nothing from a scatter.
// CHECK: rows#0: tensor<4x2xf32> = [3, 4, 0, 0, 0, 0, 1, 2]
// CHECK: rows#1: tensor<2x2xf32> = [8, 10, 2, 4]
func.func @rows() -> (tensor<4x2xf32>, tensor<2x2xf32>) {
  %table = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %ids = arith.constant dense<[1, 2, -1, 0]> : tensor<4xi32>
  %a = kernel.gather %table[%ids] : tensor<2x2xf32>, tensor<4xi32> -> tensor<4x2xf32>
  %rows = arith.constant dense<[[3.0, 3.0], [100.0, 100.0], [4.0, 5.0], [-1.0, 0.0]]> : tensor<4x2xf32>
  %to = arith.constant dense<[0, 5, 0, 1]> : tensor<4xi32>
  %b = kernel.scatter_add %rows into %table[%to] : (tensor<4x2xf32>, tensor<2x2xf32>, tensor<4xi32>) -> tensor<2x2xf32>
  return %a, %b : tensor<4x2xf32>, tensor<2x2xf32>
}

// CHECK: parts#0: tensor<2x2xi32> = [2, 3, 5, 6]
// CHECK: parts#1: tensor<2x5xi32> = [1, 2, 3, 2, 3, 4, 5, 6, 5, 6]
// CHECK: parts#2: tensor<i32> = [6]
// CHECK: parts#3: tensor<2x3x2xi32> = [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]
func.func @parts() -> (tensor<2x2xi32>, tensor<2x5xi32>, tensor<i32>, tensor<2x3x2xi32>) {
  %x = arith.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi32>
  %a = kernel.slice %x from 1 : tensor<2x3xi32> -> tensor<2x2xi32>
  %b = kernel.concat %x, %a : tensor<2x3xi32>, tensor<2x2xi32> -> tensor<2x5xi32>
  %c = kernel.element %x [1, 2] : tensor<2x3xi32> -> tensor<i32>
  %d = kernel.iota 1 : tensor<2x3x2xi32>
  return %a, %b, %c, %d : tensor<2x2xi32>, tensor<2x5xi32>, tensor<i32>, tensor<2x3x2xi32>
}

// To nearest even; a sum in f32 loses what does not fit.
// CHECK: rounding#0: tensor<3xbf16> = [1, 1.015625, 1.0078125]
// CHECK: rounding#1: tensor<f32> = [16777216]
// F64: rounding#0: tensor<3xf64> = [1.00390625, 1.01171875, 1.0039672851562
// F64: rounding#1: tensor<f64> = [16777217]
func.func @rounding() -> (tensor<3xbf16>, tensor<f32>) {
  %x = arith.constant dense<[1.00390625, 1.01171875, 1.00396728515625]> : tensor<3xf32>
  %a = arith.truncf %x : tensor<3xf32> to tensor<3xbf16>
  %y = arith.constant dense<16777216.0> : tensor<f32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %b = arith.addf %y, %one : tensor<f32>
  return %a, %b : tensor<3xbf16>, tensor<f32>
}

// INPUTS: inputs#0: tensor<2xf32> = [0.5, 0.5]
// INPUTS: inputs#1: tensor<3xi32> = [5, 5, 5]
func.func @inputs(%x: tensor<2xf32>, %ids: tensor<3xi32> {qwen.name = "ids"}) -> (tensor<2xf32>, tensor<3xi32>) {
  return %x, %ids : tensor<2xf32>, tensor<3xi32>
}
