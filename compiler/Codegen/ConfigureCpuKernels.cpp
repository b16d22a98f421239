//===- ConfigureCpuKernels.cpp - Workspaces of the CPU's kernels ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "compiler/Codegen/Passes.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {
#define GEN_PASS_DEF_CONFIGURECPUKERNELS
#include "compiler/Codegen/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
struct ConfigureCpuKernels
    : public qwen::impl::ConfigureCpuKernelsBase<ConfigureCpuKernels> {
  using ConfigureCpuKernelsBase::ConfigureCpuKernelsBase;

  void runOnOperation() override {
    SymbolTable symbols(getOperation());
    DenseMap<Operation *, int64_t> maxRows;
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      int64_t batch = entry::maxExtent(func, "batch"),
              sequence = entry::maxExtent(func, "sequence");
      func.walk([&](kernel::LaunchOp launch) {
        int64_t &rows = maxRows[symbols.lookup(launch.getCallee())];
        rows =
            std::max(rows, launch.getUnitSequence() ? batch : batch * sequence);
      });
    }
    for (auto kernel : getOperation().getOps<kernel::FuncOp>()) {
      int64_t bytes = 0;
      for (StringRef level : levels)
        for (const cpu::CpuTarget &target : cpu::targetsFromOption(level))
          bytes = std::max(bytes, cpu::workspaceBytes(kernel, target,
                                                      maxRows.lookup(kernel)));
      if (bytes)
        kernel.setWorkspace(bytes);
    }
  }
};
} // namespace
