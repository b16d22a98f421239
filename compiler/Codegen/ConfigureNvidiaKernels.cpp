//===- ConfigureNvidiaKernels.cpp - Choices and workspaces of GPU kernels -===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/KernelForm.h"
#include "compiler/Codegen/Nvidia/LibraryProduct.h"
#include "compiler/Codegen/Nvidia/NvidiaKernels.h"
#include "compiler/Codegen/Passes.h"

namespace qwen {
#define GEN_PASS_DEF_CONFIGURENVIDIAKERNELS
#include "compiler/Codegen/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
struct ConfigureNvidiaKernels
    : public qwen::impl::ConfigureNvidiaKernelsBase<ConfigureNvidiaKernels> {
  void runOnOperation() override {
    codegen::forEachKernel(
        getOperation(), [](kernel::FuncOp kernel, int64_t rows) {
          nvidia::chooseImplementation(kernel);
          if (int64_t bytes = nvidia::workspaceBytes(kernel, {}, rows))
            kernel.setWorkspace(bytes);
        });
  }
};
} // namespace
