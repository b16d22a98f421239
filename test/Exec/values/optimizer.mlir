// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-values --tolerance=1e-12 | FileCheck %s

// Made by make_values.py: expected values from PyTorch.

// CHECK: adamw: ok
func.func @adamw() -> (tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>) {
  %p = arith.constant dense<[[2.79984383433547868e-01, 1.03059570864376920e-01, 5.58259009233182613e-01], [1.28019360357358147e+00, -1.86956072586804489e+00, 3.68890300745959077e-01]]> : tensor<2x3xf64>
  %grad = arith.constant dense<[[-1.34266300851864262e+00, 4.60854282957580186e-01, -6.52694369254127382e-01], [-2.16421067117662340e-02, 3.51484036469028038e-01, 3.79577710692898973e-01]]> : tensor<2x3xf64>
  %m = arith.constant dense<[[4.48357772915560990e-02, -7.16123816962306314e-02, -1.95714807081088238e-02], [8.48758117713973026e-02, -2.70903704372189788e-02, 1.73174419173774234e-02]]> : tensor<2x3xf64>
  %v = arith.constant dense<[[1.16102052931911625e-02, 4.47209473980177755e-02, 1.93314701722617933e-03], [4.74945022583941612e-02, 1.99620037123730831e-03, 2.75483077111693175e-01]]> : tensor<2x3xf64>
  %hyper = arith.constant dense<[[5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01], [1.00000000000000002e-02, 9.00000000000000022e-01, 9.49999999999999956e-01, 1.00000000000000002e-08, 1.00000000000000006e-01, 1.00000000000000000e+00, 2.70999999999999908e-01, 1.42625000000000113e-01]]> : tensor<2x8xf64>
  %scale = arith.constant dense<6.99999999999999956e-01> : tensor<f64>
  %expected0 = arith.constant dense<[[2.82885760377386331e-01, 1.05010799536710678e-01, 5.65663518070911198e-01], [1.27400188095497668e+00, -1.86773536624807135e+00, 3.67380712217800554e-01]]> : tensor<2x3xf64>
  %expected1 = arith.constant dense<[[0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00], [0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00]]> : tensor<2x3xf64>
  %expected2 = arith.constant dense<[[-5.36342110339044706e-02, -3.21913437195769647e-02, -6.33029384850868487e-02], [7.48732831244339342e-02, 2.22549159334873610e-04, 4.21561374741426034e-02]]> : tensor<2x3xf64>
  %expected3 = arith.constant dense<[[5.51969219124177901e-02, 4.76883734460653505e-02, 1.22737331879379380e-02], [4.51312524746560750e-02, 4.92314553604319017e-03, 2.65238864598252633e-01]]> : tensor<2x3xf64>
  %result0, %result1, %result2, %result3 = qwen.adamw %p, %grad, %m, %v, %hyper, %scale {group = 1 : i64} : (tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x8xf64>, tensor<f64>) -> (tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>)
  return %result0, %result1, %result2, %result3, %expected0, %expected1, %expected2, %expected3 : tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>
}

// CHECK: skipped: ok
func.func @skipped() -> (tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>) {
  %p = arith.constant dense<[[2.79984383433547868e-01, 1.03059570864376920e-01, 5.58259009233182613e-01], [1.28019360357358147e+00, -1.86956072586804489e+00, 3.68890300745959077e-01]]> : tensor<2x3xf64>
  %grad = arith.constant dense<[[-1.34266300851864262e+00, 4.60854282957580186e-01, -6.52694369254127382e-01], [-2.16421067117662340e-02, 3.51484036469028038e-01, 3.79577710692898973e-01]]> : tensor<2x3xf64>
  %m = arith.constant dense<[[4.48357772915560990e-02, -7.16123816962306314e-02, -1.95714807081088238e-02], [8.48758117713973026e-02, -2.70903704372189788e-02, 1.73174419173774234e-02]]> : tensor<2x3xf64>
  %v = arith.constant dense<[[1.16102052931911625e-02, 4.47209473980177755e-02, 1.93314701722617933e-03], [4.74945022583941612e-02, 1.99620037123730831e-03, 2.75483077111693175e-01]]> : tensor<2x3xf64>
  %hyper = arith.constant dense<[[5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01, 5.00000000000000000e-01], [1.00000000000000002e-02, 9.00000000000000022e-01, 9.49999999999999956e-01, 1.00000000000000002e-08, 1.00000000000000006e-01, 1.00000000000000000e+00, 2.70999999999999908e-01, 1.42625000000000113e-01]]> : tensor<2x8xf64>
  %scale = arith.constant dense<0.00000000000000000e+00> : tensor<f64>
  %expected0 = arith.constant dense<[[2.79984383433547868e-01, 1.03059570864376920e-01, 5.58259009233182613e-01], [1.28019360357358147e+00, -1.86956072586804489e+00, 3.68890300745959077e-01]]> : tensor<2x3xf64>
  %expected1 = arith.constant dense<[[0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00], [0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00]]> : tensor<2x3xf64>
  %expected2 = arith.constant dense<[[4.48357772915560990e-02, -7.16123816962306314e-02, -1.95714807081088238e-02], [8.48758117713973026e-02, -2.70903704372189788e-02, 1.73174419173774234e-02]]> : tensor<2x3xf64>
  %expected3 = arith.constant dense<[[1.16102052931911625e-02, 4.47209473980177755e-02, 1.93314701722617933e-03], [4.74945022583941612e-02, 1.99620037123730831e-03, 2.75483077111693175e-01]]> : tensor<2x3xf64>
  %result0, %result1, %result2, %result3 = qwen.adamw %p, %grad, %m, %v, %hyper, %scale {group = 1 : i64} : (tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x8xf64>, tensor<f64>) -> (tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>)
  return %result0, %result1, %result2, %result3, %expected0, %expected1, %expected2, %expected3 : tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>, tensor<2x3xf64>
}

// CHECK: sum_squares: ok
func.func @sum_squares() -> (tensor<f64>, tensor<f64>) {
  %x = arith.constant dense<[[-2.06792328205896903e+00, 1.17716462758486726e-01], [3.96628103762912798e-01, -1.00033068506262382e-01], [-1.38142480133710466e+00, 7.38158135919280811e-01]]> : tensor<3x2xf64>
  %acc = arith.constant dense<2.00000000000000000e+00> : tensor<f64>
  %expected0 = arith.constant dense<8.91069624894833723e+00> : tensor<f64>
  %result0 = qwen.sum_squares %x into %acc : tensor<3x2xf64>, tensor<f64> -> tensor<f64>
  return %result0, %expected0 : tensor<f64>, tensor<f64>
}

// CHECK: clipped: ok
func.func @clipped() -> (tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>) {
  %squares = arith.constant dense<9.00000000000000000e+00> : tensor<f64>
  %hyper = arith.constant dense<[[0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 1.50000000000000000e+00, 1.00000000000000000e+00, 1.00000000000000000e+00]]> : tensor<1x8xf64>
  %skip = arith.constant dense<0> : tensor<i32>
  %expected0 = arith.constant dense<3.00000000000000000e+00> : tensor<f64>
  %expected1 = arith.constant dense<0> : tensor<i32>
  %expected2 = arith.constant dense<4.99999833333388877e-01> : tensor<f64>
  %result0, %result1, %result2 = qwen.clip %squares, %hyper, %skip : (tensor<f64>, tensor<1x8xf64>, tensor<i32>) -> (tensor<f64>, tensor<i32>, tensor<f64>)
  return %result0, %result1, %result2, %expected0, %expected1, %expected2 : tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>
}

// CHECK: below: ok
func.func @below() -> (tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>) {
  %squares = arith.constant dense<9.00000000000000000e+00> : tensor<f64>
  %hyper = arith.constant dense<[[0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 4.00000000000000000e+00, 1.00000000000000000e+00, 1.00000000000000000e+00]]> : tensor<1x8xf64>
  %skip = arith.constant dense<0> : tensor<i32>
  %expected0 = arith.constant dense<3.00000000000000000e+00> : tensor<f64>
  %expected1 = arith.constant dense<0> : tensor<i32>
  %expected2 = arith.constant dense<1.00000000000000000e+00> : tensor<f64>
  %result0, %result1, %result2 = qwen.clip %squares, %hyper, %skip : (tensor<f64>, tensor<1x8xf64>, tensor<i32>) -> (tensor<f64>, tensor<i32>, tensor<f64>)
  return %result0, %result1, %result2, %expected0, %expected1, %expected2 : tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>
}

// CHECK: unlimited: ok
func.func @unlimited() -> (tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>) {
  %squares = arith.constant dense<9.00000000000000000e+00> : tensor<f64>
  %hyper = arith.constant dense<[[0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 1.00000000000000000e+00, 1.00000000000000000e+00]]> : tensor<1x8xf64>
  %skip = arith.constant dense<0> : tensor<i32>
  %expected0 = arith.constant dense<3.00000000000000000e+00> : tensor<f64>
  %expected1 = arith.constant dense<0> : tensor<i32>
  %expected2 = arith.constant dense<1.00000000000000000e+00> : tensor<f64>
  %result0, %result1, %result2 = qwen.clip %squares, %hyper, %skip : (tensor<f64>, tensor<1x8xf64>, tensor<i32>) -> (tensor<f64>, tensor<i32>, tensor<f64>)
  return %result0, %result1, %result2, %expected0, %expected1, %expected2 : tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>
}

// CHECK: skip: ok
func.func @skip() -> (tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>) {
  %squares = arith.constant dense<9.00000000000000000e+00> : tensor<f64>
  %hyper = arith.constant dense<[[0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 4.00000000000000000e+00, 1.00000000000000000e+00, 1.00000000000000000e+00]]> : tensor<1x8xf64>
  %skip = arith.constant dense<1> : tensor<i32>
  %expected0 = arith.constant dense<3.00000000000000000e+00> : tensor<f64>
  %expected1 = arith.constant dense<0> : tensor<i32>
  %expected2 = arith.constant dense<0.00000000000000000e+00> : tensor<f64>
  %result0, %result1, %result2 = qwen.clip %squares, %hyper, %skip : (tensor<f64>, tensor<1x8xf64>, tensor<i32>) -> (tensor<f64>, tensor<i32>, tensor<f64>)
  return %result0, %result1, %result2, %expected0, %expected1, %expected2 : tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>
}

// CHECK: infinite: ok
func.func @infinite() -> (tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>) {
  %squares = arith.constant dense<0x7FF0000000000000> : tensor<f64>
  %hyper = arith.constant dense<[[0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 4.00000000000000000e+00, 1.00000000000000000e+00, 1.00000000000000000e+00]]> : tensor<1x8xf64>
  %skip = arith.constant dense<0> : tensor<i32>
  %expected0 = arith.constant dense<0x7FF0000000000000> : tensor<f64>
  %expected1 = arith.constant dense<1> : tensor<i32>
  %expected2 = arith.constant dense<0.00000000000000000e+00> : tensor<f64>
  %result0, %result1, %result2 = qwen.clip %squares, %hyper, %skip : (tensor<f64>, tensor<1x8xf64>, tensor<i32>) -> (tensor<f64>, tensor<i32>, tensor<f64>)
  return %result0, %result1, %result2, %expected0, %expected1, %expected2 : tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>
}

// CHECK: nan: ok
func.func @nan() -> (tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>) {
  %squares = arith.constant dense<0x7FF8000000000000> : tensor<f64>
  %hyper = arith.constant dense<[[0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00, 4.00000000000000000e+00, 1.00000000000000000e+00, 1.00000000000000000e+00]]> : tensor<1x8xf64>
  %skip = arith.constant dense<0> : tensor<i32>
  %expected0 = arith.constant dense<0x7FF8000000000000> : tensor<f64>
  %expected1 = arith.constant dense<1> : tensor<i32>
  %expected2 = arith.constant dense<0.00000000000000000e+00> : tensor<f64>
  %result0, %result1, %result2 = qwen.clip %squares, %hyper, %skip : (tensor<f64>, tensor<1x8xf64>, tensor<i32>) -> (tensor<f64>, tensor<i32>, tensor<f64>)
  return %result0, %result1, %result2, %expected0, %expected1, %expected2 : tensor<f64>, tensor<i32>, tensor<f64>, tensor<f64>, tensor<i32>, tensor<f64>
}
