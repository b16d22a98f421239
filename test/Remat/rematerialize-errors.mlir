// REQUIRES: qwen-opt
// RUN: qwen-opt %s --verify-remat --split-input-file --verify-diagnostics

// expected-error @below {{expected qwen.saved_bytes = {}, got nothing}}
module {
}

// -----

// expected-error @below {{expected qwen.saved_bytes = {f = 32 : i64}, got {f = 16 : i64}}}
module attributes {qwen.saved_bytes = {f = 16 : i64}} {
  func.func @f(%x: tensor<4xf32>) {
    %r:2 = qwen.layers count 2 carried(%x) slices() states() : (tensor<4xf32>) -> (tensor<4xf32>, tensor<2x4xf32>) {
    ^bb0(%a: tensor<4xf32>):
      qwen.yield carried(%a) stacked(%a) states() : (tensor<4xf32>, tensor<4xf32>) -> ()
    }
    return
  }
}
