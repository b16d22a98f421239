// RUN: qwen-opt %s -split-input-file --bucket-collectives=elements=64 | FileCheck %s
// REQUIRES: qwen-opt

// Blocks of all members lie in one row for each device of the group: 16 and 8
// elements in columns [0, 8) and [8, 12). What takes no part of the bucket's size
// or more goes alone.
// CHECK-LABEL: func @scatters
// CHECK: %[[ONE:.*]] = dist.pack %arg0 dim 1 parts 2 : (tensor<4x4xf32>) -> tensor<24xf32>
// CHECK: %[[BOTH:.*]] = dist.pack %arg1 into %[[ONE]] dim 0 parts 2 {offset = 8 : i64} : (tensor<8xf32>, tensor<24xf32>) -> tensor<24xf32>
// CHECK: %[[SUM:.*]] = dist.reduce_scatter %[[BOTH]] dim 0 axes [0] : tensor<24xf32> -> tensor<12xf32>
// CHECK: %[[A:.*]] = dist.unpack %[[SUM]] dim 1 parts 1 : tensor<12xf32> -> tensor<2x4xf32>
// CHECK: %[[B:.*]] = dist.unpack %[[SUM]] dim 0 parts 1 {offset = 8 : i64} : tensor<12xf32> -> tensor<4xf32>
// CHECK: %[[C:.*]] = dist.reduce_scatter %arg2 dim 1 axes [0]
// CHECK: return %[[A]], %[[B]], %[[C]]
module attributes {qwen.mesh = [["data", 2]]} {
  func.func @scatters(%a: tensor<4x4xf32>, %b: tensor<8xf32>, %c: tensor<8x8xf32>)
      -> (tensor<2x4xf32>, tensor<4xf32>, tensor<8x4xf32>) {
    %0 = dist.reduce_scatter %a dim 0 axes [0] {dist.of_parameter} : tensor<4x4xf32> -> tensor<2x4xf32>
    %1 = dist.reduce_scatter %b dim 0 axes [0] {dist.of_parameter} : tensor<8xf32> -> tensor<4xf32>
    %2 = dist.reduce_scatter %c dim 1 axes [0] {dist.of_parameter} : tensor<8x8xf32> -> tensor<8x4xf32>
    return %0, %1, %2 : tensor<2x4xf32>, tensor<4xf32>, tensor<8x4xf32>
  }
}

// -----

// A bucket is full when the next tensor does not fit; gathers count what they give.
// CHECK-LABEL: func @gathers
// CHECK-COUNT-2: dist.all_gather {{.*}} axes [0]
// CHECK-NOT: dist.all_gather
module attributes {qwen.mesh = [["data", 2]]} {
  func.func @gathers(%a: tensor<4x4xf32>, %b: tensor<4x4xf32>, %c: tensor<4x4xf32>)
      -> (tensor<4x8xf32>, tensor<8x4xf32>, tensor<8x4xf32>) {
    %0 = dist.all_gather %a dim 1 axes [0] {dist.of_parameter} : tensor<4x4xf32> -> tensor<4x8xf32>
    %1 = dist.all_gather %b dim 0 axes [0] {dist.of_parameter} : tensor<4x4xf32> -> tensor<8x4xf32>
    %2 = dist.all_gather %c dim 0 axes [0] {dist.of_parameter} : tensor<4x4xf32> -> tensor<8x4xf32>
    return %0, %1, %2 : tensor<4x8xf32>, tensor<8x4xf32>, tensor<8x4xf32>
  }
}

// -----

// Other axes, other element types and activations have no part in a bucket, nor
// what is needed before the next one is computed.
// CHECK-LABEL: func @apart
// CHECK-NOT: dist.pack
// CHECK-COUNT-5: dist.all_reduce
// CHECK-NOT: dist.all_reduce
module attributes {qwen.mesh = [["data", 2], ["tensor", 2]]} {
  func.func @apart(%a: tensor<4xf32>, %b: tensor<4xf32>, %c: tensor<4xbf16>, %d: tensor<4xf32>)
      -> (tensor<4xf32>, tensor<4xf32>, tensor<4xbf16>, tensor<4xf32>) {
    %0 = dist.all_reduce %a axes [0] {dist.of_parameter} : tensor<4xf32> -> tensor<4xf32>
    %1 = dist.all_reduce %b axes [1] {dist.of_parameter} : tensor<4xf32> -> tensor<4xf32>
    %2 = dist.all_reduce %c axes [0] {dist.of_parameter} : tensor<4xbf16> -> tensor<4xbf16>
    %3 = dist.all_reduce %d axes [0] : tensor<4xf32> -> tensor<4xf32>
    %4 = qwen.add %0, %3 : tensor<4xf32>, tensor<4xf32> -> tensor<4xf32>
    %5 = dist.all_reduce %4 axes [0] {dist.of_parameter} : tensor<4xf32> -> tensor<4xf32>
    return %5, %1, %2, %3 : tensor<4xf32>, tensor<4xf32>, tensor<4xbf16>, tensor<4xf32>
  }
}
