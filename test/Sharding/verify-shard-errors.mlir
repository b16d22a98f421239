// REQUIRES: qwen-opt
// RUN: qwen-opt %s --verify-shard --split-input-file --verify-diagnostics

// expected-error @below {{expected a mesh in the attribute qwen.mesh}}
module {
}

// -----

module attributes {qwen.mesh = [["data", 1]]} {
  func.func @f(%x: tensor<4xf32>) {
    // expected-error @below {{expected no collective on a mesh of one device, got dist.all_reduce}}
    %0 = dist.all_reduce %x axes [0] : tensor<4xf32> -> tensor<4xf32>
    return
  }
}

// -----

module attributes {qwen.mesh = [["data", 2]]} {
  func.func @f(%x: tensor<4xf32>) {
    // expected-error @below {{expected sub-axes below 1, got 1}}
    %0 = dist.all_reduce %x axes [1] : tensor<4xf32> -> tensor<4xf32>
    return
  }
}

// -----

module attributes {qwen.mesh = [["data", 2]]} {
  func.func @f(%x: tensor<4xf32>) {
    // expected-error @below {{expected local shapes, got a tensor of the whole mesh}}
    %0 = dist.reshard %x from <[[0]]> to <[[]]> : tensor<4xf32> -> tensor<4xf32>
    return
  }
}
