// One case for each message of the phase's verifier.
// REQUIRES: qwen-opt
// RUN: qwen-opt %s --verify-model --split-input-file --verify-diagnostics

func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @below {{expected only qwen ops in a model, got arith.addf}}
  %y = arith.addf %x, %x : tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

qwen.param @a : tensor<8xf32> {axes = ["hidden"], group = 1 : i64, index = 0 : i64}
// expected-error @below {{expected index 1 in the order of parameters, got 2}}
qwen.param @b : tensor<8xf32> {axes = ["hidden"], group = 1 : i64, index = 2 : i64}

// -----

qwen.param @a : tensor<8xf32> {axes = ["hidden"], group = 1 : i64, index = 0 : i64}
func.func @f() {
  %master = qwen.get_param @a : tensor<8xf32>
  %bf16 = qwen.get_param @a : tensor<8xbf16>
  // expected-error @below {{parameter a is read in two compute types: 'bf16' and 'f16'}}
  %f16 = qwen.get_param @a : tensor<8xf16>
  return
}
