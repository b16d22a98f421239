//===- EmitKernel.cpp - Picks the emitter of a kernel ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/Emitters.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using kernel::Root;

namespace {
struct Emitter {
  bool (*takes)(kernel::FuncOp);
  FailureOr<KernelCode> (*emit)(kernel::FuncOp, const NvidiaTarget &,
                                gpu::GPUModuleOp);
  int64_t (*workspace)(kernel::FuncOp, const NvidiaTarget &, int64_t);
};
} // namespace

static const Emitter *findEmitter(kernel::FuncOp kernel) {
  static const Emitter emitters[] = {
#define EMITTER(Name, condition)                                               \
  {[](kernel::FuncOp kernel) -> bool { return condition; }, emit##Name,        \
   workspace##Name},
#include "compiler/Codegen/Nvidia/Emitters.def"
      {nullptr, nullptr, nullptr}};
  for (const Emitter &emitter : emitters)
    if (emitter.takes && emitter.takes(kernel))
      return &emitter;
  return nullptr;
}

int64_t nvidia::workspaceBytes(kernel::FuncOp kernel,
                               const NvidiaTarget &target, int64_t maxRows) {
  const Emitter *emitter = findEmitter(kernel);
  return emitter ? emitter->workspace(kernel, target, maxRows) : 0;
}

FailureOr<KernelCode> nvidia::emitKernel(kernel::FuncOp kernel,
                                         const NvidiaTarget &target,
                                         gpu::GPUModuleOp module) {
  if (const Emitter *emitter = findEmitter(kernel))
    return emitter->emit(kernel, target, module);
  return kernel.emitError("no kernel for GPUs exists of ")
         << kernel.getSymName() << " [Q2401]";
}
