//===- QwenInterfaces.td - Interfaces of the model ops -----*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_INTERFACES_TD
#define QWEN_INTERFACES_TD

include "mlir/IR/OpBase.td"

def DecomposeOpInterface : OpInterface<"DecomposeOpInterface"> {
  let cppNamespace = "::qwen";
  let description = [{
    An op that can be written in elementary ops: `arith` and `math` on tensors
    and the elementary ops of the `kernel` dialect (broadcast, reduce, contract,
    gather, slice, concat). All arithmetic is in f32 (f64 where the operands are
    f64) and is rounded once, to the result's type. The decomposition is the
    semantics: the oracle of tests runs it, and `fuse` builds the body of
    row-wise kernels from it.
  }];
  let methods = [
    InterfaceMethod<[{
      Builds the decomposition of this op at the builder's position, with
      `operands` in place of the op's own. Operands may have other leading
      dimensions than the op's (`fuse` merges batch and sequence into one dynamic
      dimension of rows): result types follow from the operands' types.
    }], "::mlir::FailureOr<::llvm::SmallVector<::mlir::Value>>", "decompose",
    (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$operands)>,
  ];
}

def CostModelOpInterface : OpInterface<"CostModelOpInterface"> {
  let cppNamespace = "::qwen";
  let description = "The work of an op, from its static shapes.";
  let methods = [
    InterfaceMethod<"Multiplications and additions, each counted as one.",
                    "int64_t", "getFlops">,
    InterfaceMethod<"Bytes read and written if nothing is fused.",
                    "int64_t", "getBytes", (ins), [{}], [{
      return ::qwen::defaultBytes($_op);
    }]>,
  ];
}

#endif // QWEN_INTERFACES_TD
