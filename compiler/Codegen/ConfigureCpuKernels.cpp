//===- ConfigureCpuKernels.cpp - Workspaces of the CPU's kernels ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "compiler/Codegen/KernelForm.h"
#include "compiler/Codegen/Passes.h"

namespace qwen {
#define GEN_PASS_DEF_CONFIGURECPUKERNELS
#include "compiler/Codegen/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

namespace {
struct ConfigureCpuKernels
    : public qwen::impl::ConfigureCpuKernelsBase<ConfigureCpuKernels> {
  using ConfigureCpuKernelsBase::ConfigureCpuKernelsBase;

  void runOnOperation() override {
    forEachKernel(getOperation(), [&](kernel::FuncOp kernel, int64_t rows) {
      int64_t bytes = 0;
      for (StringRef level : levels)
        for (const cpu::CpuTarget &target : cpu::targetsFromOption(level))
          bytes = std::max(bytes, cpu::workspaceBytes(kernel, target, rows));
      if (bytes)
        kernel.setWorkspace(bytes);
    });
  }
};
} // namespace
