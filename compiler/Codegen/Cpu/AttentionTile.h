//===- AttentionTile.h - A block of queries against its keys ----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_ATTENTIONTILE_H
#define QWEN_COMPILER_CODEGEN_CPU_ATTENTIONTILE_H

#include "compiler/Codegen/Cpu/GemmKernel.h"

namespace qwen::cpu {

/// The first key that each query of a tile sees: the latest of what a window
/// and the documents say. It never falls from one query to the next.
struct FirstKeys {
  /// Keys that a query sees at most; 0: all before it.
  int64_t window = 0;
  /// i32 numbers of keys, one a query; null: none.
  mlir::Value starts = {};

  bool any() const { return window || starts; }
  /// Of query t, whose last key is `last` >= 0; 0 if there is nothing to ask.
  mlir::Value of(SimdBuilder &b, mlir::Value t, mlir::Value last) const;
  /// The same from query `t` on.
  FirstKeys from(SimdBuilder &b, mlir::Value t) const;
};

/// Attention of up to kQueries queries of one head, over all keys they see.
struct AttentionTile {
  static constexpr int64_t kQueries = 64;
  /// Keys of one step.
  static constexpr int64_t kKeys = 256;

  int64_t headDim;
  double scale;
  /// Element types. The probabilities are rounded to that of v before they are
  /// multiplied, as FlashAttention does; their sum is that of f32 numbers.
  mlir::Type q, k, v, out;

  struct Operands {
    Matrix q, k, v, out;
    /// Where row t's log-sum-exp goes: lse.base[t * lse.stride]; may be empty.
    Matrix lse;
    /// Query t sees the keys s <= first + t, of `keys` keys.
    mlir::Value first, queries, keys;
    /// And of them those from here on.
    FirstKeys firstKeys = {};
  };
};

int64_t attentionScratchBytes(const AttentionTile &tile,
                              const CpuTarget &target);

void emitAttentionTile(SimdBuilder &b, mlir::ModuleOp module,
                       const AttentionTile &tile,
                       const AttentionTile::Operands &operands,
                       mlir::Value scratch);

/// The same for few queries: dot products in place of matrix products.
void emitAttentionRows(SimdBuilder &b, const AttentionTile &tile,
                       const AttentionTile::Operands &operands,
                       mlir::Value scratch);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_ATTENTIONTILE_H
