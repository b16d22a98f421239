// REQUIRES: qwen-opt
// RUN: qwen-opt %s --import-mesh --verify-shard --split-input-file | FileCheck %s

// A module that says nothing is for one device.
// CHECK: module attributes {qwen.mesh = {{\[}}["data", 1]]}
module {
}

// -----

// The order of the axes is kept.
// CHECK: module attributes {qwen.mesh = {{\[}}["tensor", 1], ["data", 1]]}
module attributes {qwen.mesh = [["tensor", 1], ["data", 1]]} {
}
