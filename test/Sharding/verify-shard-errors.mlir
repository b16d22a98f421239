// REQUIRES: qwen-opt
// RUN: qwen-opt %s --verify-shard --split-input-file --verify-diagnostics --allow-unregistered-dialect

// expected-error @below {{expected a mesh in the attribute qwen.mesh}}
module {
}

// -----

// expected-error @below {{expected local shapes for one device, got a mesh of 8}}
module attributes {qwen.mesh = [["data", 2], ["tensor", 4]]} {
}

// -----

module attributes {qwen.mesh = [["data", 1]]} {
  func.func @f(%x: tensor<4xf32>) {
    // expected-error @below {{expected no collective on a mesh of one device, got dist.all_reduce}}
    "dist.all_reduce"(%x) : (tensor<4xf32>) -> ()
    return
  }
}
