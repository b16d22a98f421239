//===- PlannedMemory.h - Check a memory plan while running ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Keeps the bytes of an entry's arena and slots beside the interpreter's
// values. Every launch scribbles over its workspace and the places of its
// results; then each of its operands must still be in its place, byte for byte.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_ORACLE_PLANNEDMEMORY_H
#define QWEN_COMPILER_ORACLE_PLANNEDMEMORY_H

#include "compiler/Oracle/Interpreter.h"

namespace qwen::oracle {

class PlannedMemory : public LaunchObserver {
public:
  /// Fills the slots of `func`, which the memory phase has planned, with
  /// `arguments` and `parameters`; fails with a diagnostic if it has no plan.
  static mlir::FailureOr<PlannedMemory> create(mlir::func::FuncOp func,
                                               llvm::ArrayRef<Tensor> arguments,
                                               const Parameters &parameters);

  mlir::LogicalResult observe(kernel::LaunchOp launch, kernel::FuncOp callee,
                              LoopPosition loop,
                              llvm::ArrayRef<Tensor> operands,
                              llvm::ArrayRef<Tensor> results) override;

  /// Checks that outputs and donated arguments hold `results`.
  mlir::LogicalResult checkResults(llvm::ArrayRef<Tensor> results);

private:
  using Bytes = std::vector<char>;

  explicit PlannedMemory(mlir::func::FuncOp func) : func(func) {}

  /// The place of `size` bytes, or an empty range if it lies outside.
  llvm::MutableArrayRef<char> at(kernel::BufferAttr buffer, LoopPosition loop,
                                 int64_t size);
  /// Fills `count` slots from `first` with the layers of `value`.
  void fill(int64_t first, int64_t count, const Tensor &value);

  mlir::func::FuncOp func;
  Bytes arena;
  std::vector<Bytes> slots;
};

} // namespace qwen::oracle

#endif // QWEN_COMPILER_ORACLE_PLANNEDMEMORY_H
