// REQUIRES: qwen-opt
// RUN: qwen-opt %s --import-mesh --split-input-file --verify-diagnostics

// expected-error @below {{duplicate mesh axis: "data"}}
module attributes {qwen.mesh = [["data", 1], ["data", 1]]} {
}

// -----

// expected-error @below {{expected mesh axis "data" to have at least one device, got 0}}
module attributes {qwen.mesh = [["data", 0]]} {
}

// -----

// expected-error @below {{expected a mesh axis as [name, size], got ["data"]}}
module attributes {qwen.mesh = [["data"]]} {
}

// -----

// expected-error @below {{expected a mesh in the attribute qwen.mesh}}
module attributes {qwen.mesh = "data"} {
}

// -----

// expected-error @below {{unknown mesh axis 'rows' in the rule of 'ffn' [Q2204]}}
module attributes {qwen.mesh = [["data", 2]], qwen.parallel = {rules = {ffn = "rows"}}} {
}

// -----

module attributes {qwen.mesh = [["tensor", 2]], qwen.parallel = {rules = {ffn = "tensor", hidden = "tensor"}}} {
  // expected-error @below {{parameter w is split twice over the mesh axis 'tensor': the rules give it to two of its dimensions [Q2203]}}
  qwen.param @w : tensor<8x4xf32> {axes = ["ffn", "hidden"], group = 0 : i64, index = 0 : i64}
}

// -----

module attributes {qwen.mesh = [["data", 4], ["tensor", 2]]} {
  // expected-error @below {{train.batch 6 is not a multiple of the 4 devices that the batch is split over (data=4) [Q2202]}}
  func.func @eval_loss(%tokens: tensor<6x8xi32> {qwen.name = "tokens", qwen.role = "input"})
      attributes {qwen.entry, qwen.extents = {batch = 6 : i64, sequence = 8 : i64}} {
    return
  }
}
