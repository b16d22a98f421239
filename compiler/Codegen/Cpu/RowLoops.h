//===- RowLoops.h - Loops over the columns of a row -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_ROWLOOPS_H
#define QWEN_COMPILER_CODEGEN_CPU_ROWLOOPS_H

#include "compiler/Codegen/Cpu/KernelBuilder.h"
#include "compiler/Codegen/RowEval.h"

namespace qwen::cpu {

/// One thread goes through the columns, in pieces of 16 lanes.
class RowLoops : public RowEval {
public:
  RowLoops(KernelBuilder &builder, kernel::FuncOp kernel, bool flat = false)
      : RowEval(builder, kernel, flat), k(builder) {}

  /// Lets a reduction that computes `value`, result number `result`, on its way
  /// store it at once: later passes load it. Only if no result shares memory
  /// with an argument.
  void storeEarly(Value value, unsigned result) {
    early.push_back({value, result, {}});
  }
  /// Whether a reduction has stored `value` at this row.
  bool isStored(Value value, Index index) {
    return bool(lookup(value, index, {}, kStored, 0));
  }

  /// Calls `body` for all columns of [0, width), in order: pieces of 16 lanes,
  /// `unroll` of them in one iteration, then smaller ones.
  void forColumns(int64_t width, int64_t unroll,
                  llvm::function_ref<void(Column, int64_t lanes)> body);

private:
  void reduce(kernel::ReduceOp op, Index index) override;
  llvm::SmallVector<Value> reduceColumns(llvm::ArrayRef<kernel::ReduceOp> ops,
                                         Index index, int64_t low,
                                         int64_t high);

  KernelBuilder &k;
  struct Early {
    Value value;
    unsigned result;
    Value row; // while its reduction is built
  };
  llvm::SmallVector<Early> early, storing;
};

/// How many pieces of 16 lanes to compute in one iteration, by the size of the
/// kernel's body.
int64_t unrollFor(kernel::FuncOp kernel);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_ROWLOOPS_H
