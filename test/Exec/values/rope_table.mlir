// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-values --tolerance=1e-6 | FileCheck %s

// Made by make_values.py: expected values from PyTorch.

// CHECK: rope_table: ok
func.func @rope_table() -> (tensor<1x3x3xf32>, tensor<1x3x3xf32>, tensor<1x3x3xf32>, tensor<1x3x3xf32>) {
  %p = arith.constant dense<[[0, 1, 500]]> : tensor<1x3xi32>
  %expected0 = arith.constant dense<[[[1.50000000000000000e+00, 1.50000000000000000e+00, 1.50000000000000000e+00], [8.10453534126281738e-01, 1.48829650878906250e+00, 1.49995422363281250e+00], [-1.32577395439147949e+00, 1.41816031932830811e+00, -1.08242940902709961e+00]]]> : tensor<1x3x3xf32>
  %expected1 = arith.constant dense<[[[0.00000000000000000e+00, 0.00000000000000000e+00, 0.00000000000000000e+00], [1.26220643520355225e+00, 1.87012091279029846e-01, 1.17186307907104492e-02], [-7.01657712459564209e-01, -4.88693356513977051e-01, -1.03843462467193604e+00]]]> : tensor<1x3x3xf32>
  %result0, %result1 = qwen.rope_table %p {inv_freq = array<f32: 1.0, 0.125, 0.0078125>, factor = 1.5 : f64} : (tensor<1x3xi32>) -> (tensor<1x3x3xf32>, tensor<1x3x3xf32>)
  return %result0, %result1, %expected0, %expected1 : tensor<1x3x3xf32>, tensor<1x3x3xf32>, tensor<1x3x3xf32>, tensor<1x3x3xf32>
}
