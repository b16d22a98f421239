//===- KernelBuilder.h - Builds the tasks of kernels ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What all emitters of the CPU share: the task's frame, masked accesses, and
// instructions of its levels.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_KERNELBUILDER_H
#define QWEN_COMPILER_CODEGEN_CPU_KERNELBUILDER_H

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "compiler/Codegen/ElementBuilder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen::cpu {

using namespace codegen;

/// Lanes that emitters work in by default: one AVX-512 register of f32.
inline constexpr int64_t kLanes = 16;

class KernelBuilder : public ElementBuilder {
public:
  /// Creates task `index` of `kernel` in `module`; what is built next becomes
  /// its body. Pointers and extents are loaded at its entry.
  KernelBuilder(kernel::FuncOp kernel, int64_t index, const CpuTarget &target,
                mlir::ModuleOp module);

  /// Builds the body of `helper`, a function without one that tasks call.
  KernelBuilder(mlir::func::FuncOp helper, const CpuTarget &target);

  const CpuTarget &target;

  /// The task's function and its name.
  mlir::func::FuncOp function() { return func; }
  std::string symbol() override { return func.getSymName().str(); }
  /// The task itself, for KernelCode.
  Task task(mlir::AffineMap units, mlir::AffineMap grain) {
    return {symbol(), units, grain};
  }
  Task task(mlir::AffineMap units, int64_t grain) {
    return task(units, mlir::AffineMap::getConstantMap(grain, b.getContext()));
  }

  // The frame.
  Value begin() { return func.getArgument(1); }
  Value end() { return func.getArgument(2); }
  Value scratch() { return func.getArgument(3); }
  /// Pointers of the kernel's arguments and results, and of the workspace.
  Value argument(unsigned index) override { return arguments[index]; }
  Value result(unsigned index) override { return results[index]; }
  Value workspace() { return workspacePointer; }
  /// Uninitialised memory of the task, 64-byte aligned, allocated at its entry.
  Value alloca(int64_t bytes);

  // AVX-512 has these.
  Value sigmoid(Value x) override;
  Value narrow(Value value, Type element) override;

  /// Lanes whose bit in `mask` is off are not touched and read as 0.
  Value maskedLoad(mlir::VectorType type, Value pointer, Value offset,
                   Value mask);
  void maskedStore(Value value, Value pointer, Value offset, Value mask);
  /// The first `count` (i64) of `lanes` lanes.
  Value tailMask(Value count, int64_t lanes);
  Value maskedLoadF32(Type element, int64_t lanes, Value pointer, Value offset,
                      Value mask);
  void maskedStoreF32(Value value, Type element, Value pointer, Value offset,
                      Value mask);
  /// Copies `bytes` (i64) bytes between places that do not overlap.
  void copy(Value to, Value from, Value bytes);

private:
  /// Target attributes, entry block and return of `func`.
  void beginBody();
  mlir::Operation *tableScope() override;
  Value scaleByPowerOfTwo(Value p, Value n) override;
  /// Whether instructions for 16 f32 lanes of AVX-512 take `value`.
  bool isFullVector(Value value) {
    return target.level >= CpuTarget::V4 && lanesOf(value) == kLanes;
  }

  mlir::func::FuncOp func;
  llvm::SmallVector<Value> arguments, results;
  Value workspacePointer;
};

/// Units per chunk such that a chunk moves about 32 KiB.
int64_t grainFor(int64_t bytesPerUnit);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_KERNELBUILDER_H
