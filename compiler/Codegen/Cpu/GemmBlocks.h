//===- GemmBlocks.h - What the bodies of products share ---------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_GEMMBLOCKS_H
#define QWEN_COMPILER_CODEGEN_CPU_GEMMBLOCKS_H

#include "compiler/Codegen/Cpu/GemmKernel.h"

namespace qwen::cpu {

/// Sizes of the blocks in elements, and of the packed blocks in bytes.
struct GemmBlocking {
  int64_t blockM, blockN, blockK, bytesA, bytesB;
};

/// The arguments of a product's function.
struct GemmOperands {
  Matrix lhs, rhs, out;
  mlir::Value m, n, k, accumulate, reuse, packedA, packedB;
};

GemmBlocking amxBlocking();
/// Whether all of a B of n columns and k rows stays packed after a product.
bool amxKeepsPacked(int64_t n, int64_t k);
void emitAmxGemm(SimdBuilder &b, GemmForm form, const GemmOperands &operands);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_GEMMBLOCKS_H
