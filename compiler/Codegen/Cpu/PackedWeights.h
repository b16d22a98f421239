//===- PackedWeights.h - Products with weights of small integers -*- C++
//-*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A weight [N, K] of whole numbers, in the storages int8 or int4 of
// dialects/Qwen/Storage.h. Few rows of x: the numbers are widened on their way
// from memory, which is the limit. Many rows: a block of them is unpacked to
// x's type, exactly, and multiplied as any other matrix. Scales of rows are the
// epilogue's.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_PACKEDWEIGHTS_H
#define QWEN_COMPILER_CODEGEN_CPU_PACKEDWEIGHTS_H

#include "compiler/Codegen/Cpu/GemmKernel.h"

namespace qwen::cpu {

/// Rows of a packed weight from `row` on; `steps` are those of int4.
struct PackedWeights {
  WeightForm form;
  mlir::Value base, steps;
  mlir::Value row;
};

/// Bytes of `call.scratch` that emitPackedGemv uses for rows of k columns.
int64_t packedGemvScratchBytes(WeightForm form, int64_t k);

/// C = A B as emitGemv, with B from `weights` instead of `call.rhs`.
void emitPackedGemv(SimdBuilder &b, mlir::ModuleOp module, const GemmCall &call,
                    const PackedWeights &weights);

/// Writes `rows` rows of `columns` numbers to `to`, dense, as `type`.
void emitUnpack(SimdBuilder &b, mlir::ModuleOp module,
                const PackedWeights &weights, mlir::Type type, mlir::Value rows,
                mlir::Value columns, mlir::Value to);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_PACKEDWEIGHTS_H
