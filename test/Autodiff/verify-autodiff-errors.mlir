// REQUIRES: qwen-opt
// RUN: qwen-opt %s --split-input-file --verify-diagnostics --verify-autodiff

// expected-error @+1 {{the module has a training step and no optimizer step}}
func.func @micro_step() {
  return
}

// -----

// expected-error @+1 {{parameter unused is not changed by micro_step}}
qwen.param @unused : tensor<8xf32> {axes = ["hidden"], group = 1 : i64, index = 0 : i64}
func.func @micro_step(%g: tensor<8xf32>) -> (tensor<8xf32> {qwen.param = @unused, qwen.role = "gradient"}) {
  return %g : tensor<8xf32>
}
func.func @optimizer_step(%g: tensor<8xf32>) -> (tensor<8xf32> {qwen.param = @unused, qwen.role = "gradient"}) {
  return %g : tensor<8xf32>
}
