// REQUIRES: qwen-opt
// RUN: qwen-opt %s --import-mesh --split-input-file | FileCheck %s

// A module that says nothing is for one device.
// CHECK: module attributes {qwen.mesh = {{\[}}["data", 1]]}
module {
}

// -----

// The order of the axes is kept; one device needs no shardings.
// CHECK: module attributes {qwen.mesh = {{\[}}["tensor", 1], ["data", 1]]}
// CHECK-NOT: dist.
module attributes {qwen.mesh = [["tensor", 1], ["data", 1]]} {
  qwen.param @w : tensor<8x4xf32> {axes = ["ffn", "hidden"], group = 0 : i64, index = 0 : i64}
}

// -----

// Sub-axes: 0 and 1 of data, 2 to 4 of tensor.
module attributes {qwen.mesh = [["data", 4], ["tensor", 8]],
    qwen.parallel = {dims = {heads = 16 : i64, kv_heads = 4 : i64, head_dim = 8 : i64},
                     rules = {batch = "data", heads = "tensor", kv_heads = "tensor", ffn = "tensor", vocab = "tensor"}, zero = 1 : i64}} {
  // Key heads are split as far as there are any, query heads within groups.
  // CHECK: @q {{.*}}dist.compute = #dist.sharding<{{\[\[}}2, 3, 4], []]>
  // CHECK-SAME: dist.sharding = #dist.sharding<{{\[\[}}2, 3, 4], []]>
  // CHECK-SAME: dist.storage = #dist.sharding<{{\[\[}}2, 3, 4, 0, 1], []]>
  qwen.param @q : tensor<128x64xf32> {axes = ["heads*head_dim", "hidden"], group = 0 : i64, index = 0 : i64}
  // CHECK: @k {{.*}}dist.compute = #dist.sharding<{{\[\[}}2, 3], []]>
  qwen.param @k : tensor<32x64xf32> {axes = ["kv_heads*head_dim", "hidden"], group = 0 : i64, index = 1 : i64}
  // What does not divide is held by all.
  // CHECK: @table {{.*}}dist.compute = #dist.sharding<{{\[\[}}], []]>
  // CHECK-SAME: dist.storage = #dist.sharding<{{\[\[}}], [0, 1]]>
  qwen.param @table : tensor<101x64xf32> {axes = ["vocab", "hidden"], group = 0 : i64, index = 2 : i64}
  // CHECK: @norm {{.*}}dist.storage = #dist.sharding<{{\[\[}}0, 1]]>
  qwen.param @norm : tensor<64xf32> {axes = ["hidden"], group = 1 : i64, index = 3 : i64}
  // CHECK: func.func @prefill(%arg0: tensor<8x16xi32> {dist.sharding = #dist.sharding<{{\[\[}}0, 1], []]>
  // CHECK-SAME: tensor<2x8x4x32x8xf32> {dist.sharding = #dist.sharding<{{\[\[}}], [0, 1], [2, 3], [], []]>
  func.func @prefill(%tokens: tensor<8x16xi32> {qwen.name = "tokens", qwen.role = "input"},
                     %k: tensor<2x8x4x32x8xf32> {qwen.name = "k", qwen.role = "cache"})
      attributes {qwen.entry, qwen.extents = {batch = 8 : i64, sequence = 16 : i64}} {
    return
  }
  // One row cannot be split: every device computes it.
  // CHECK: func.func @decode(%arg0: tensor<1x1xi32> {dist.sharding = #dist.sharding<{{\[\[}}], []]>
  func.func @decode(%tokens: tensor<1x1xi32> {qwen.name = "tokens", qwen.role = "input"})
      attributes {qwen.entry, qwen.extents = {batch = 1 : i64}} {
    return
  }
}
