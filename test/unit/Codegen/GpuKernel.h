//===- GpuKernel.h - A kernel.func on the simulated GPU ---------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_CODEGEN_GPUKERNEL_H
#define QWEN_TEST_UNIT_CODEGEN_GPUKERNEL_H

#include "dialects/Kernel/KernelDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "test/unit/Codegen/KernelRunner.h"

namespace qwen::testing {

/// The GPU kernels of one kernel.func, run by the simulator on copies of its
/// operands that are aligned as memory of a GPU is and stand between guards.
class GpuKernel {
public:
  /// Emits into `module`, which is lowered to host code.
  static llvm::Expected<std::unique_ptr<GpuKernel>>
  create(kernel::FuncOp kernel, mlir::ModuleOp module, int64_t maxRows);
  ~GpuKernel();

  /// Runs all launches on `threads` threads. A fault of the simulator, or a
  /// write outside of the operands, fails the test; so does a product that
  /// differs where a library does it.
  void run(const Launch &launch, int threads);

private:
  GpuKernel();
  void runOnce(const Launch &launch, int threads, bool hasLibrary,
               std::vector<std::vector<char>> &contents);
  struct State;
  std::unique_ptr<State> state;
};

} // namespace qwen::testing

#endif // QWEN_TEST_UNIT_CODEGEN_GPUKERNEL_H
