// REQUIRES: qwen-exec
// RUN: not qwen-exec %s --function nothing 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not qwen-exec %s --function add --range x 2>&1 | FileCheck %s --check-prefix=RANGE
// RUN: not qwen-exec %s --function add --range x=2:1 2>&1 | FileCheck %s --check-prefix=RANGE
// RUN: not qwen-exec %s.missing 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: not qwen-exec %s --function unknown_op 2>&1 | FileCheck %s --check-prefix=OP
// RUN: not qwen-exec %s --function rows 2>&1 | FileCheck %s --check-prefix=ROWS
// RUN: not qwen-exec %s --function outside 2>&1 | FileCheck %s --check-prefix=BODY

// NAME: error: no function nothing in
// RANGE: error: expected --range name=low:high, got x
// FILE: error: cannot open input file
func.func @add(%x: tensor<2xf32>) -> tensor<2xf32> {
  return %x : tensor<2xf32>
}

// OP: error: 'arith.muli' op is no elementary op that the oracle computes
func.func @unknown_op(%x: tensor<2xi32>) -> tensor<2xi32> {
  %y = arith.muli %x, %x : tensor<2xi32>
  return %y : tensor<2xi32>
}

// ROWS: error: 'func.func' op expected tensors of static shape, got 'tensor<?xf32>'
func.func @rows(%x: tensor<?xf32>) -> tensor<?xf32> {
  return %x : tensor<?xf32>
}

// BODY: error: 'func.func' op expected a body of one block
func.func private @outside(tensor<2xf32>) -> tensor<2xf32>

// RUN: echo '{"arg0": [1, 2]}' > %t.json
// RUN: qwen-exec %s --function add --inputs %t.json | FileCheck %s --check-prefix=GIVEN
// GIVEN: add#0: tensor<2xf32> = [1, 2]
// RUN: echo '{"arg0": 1}' > %t.json
// RUN: not qwen-exec %s --function add --inputs %t.json 2>&1 | FileCheck %s --check-prefix=LISTS
// LISTS: expected an object of lists of numbers
