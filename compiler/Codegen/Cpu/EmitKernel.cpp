//===- EmitKernel.cpp - Picks the emitter of a kernel ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"

#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;
using kernel::Root;

namespace {
struct Emitter {
  bool (*takes)(kernel::FuncOp);
  FailureOr<KernelCode> (*emit)(kernel::FuncOp, const CpuTarget &, ModuleOp);
  int64_t (*workspace)(kernel::FuncOp, const CpuTarget &, int64_t);
};
} // namespace

static const Emitter *findEmitter(kernel::FuncOp kernel) {
  static const Emitter emitters[] = {
#define EMITTER(Name, condition)                                               \
  {[](kernel::FuncOp kernel) -> bool { return condition; }, emit##Name,        \
   workspace##Name},
#include "compiler/Codegen/Cpu/Emitters.def"
      {nullptr, nullptr, nullptr}};
  for (const Emitter &emitter : emitters)
    if (emitter.takes && emitter.takes(kernel))
      return &emitter;
  return nullptr;
}

int64_t cpu::workspaceBytes(kernel::FuncOp kernel, const CpuTarget &target,
                            int64_t maxRows) {
  const Emitter *emitter = findEmitter(kernel);
  return emitter ? emitter->workspace(kernel, target, maxRows) : 0;
}

FailureOr<KernelCode> cpu::emitKernel(kernel::FuncOp kernel,
                                      const CpuTarget &target,
                                      ModuleOp codegenModule) {
  if (const Emitter *emitter = findEmitter(kernel))
    return emitter->emit(kernel, target, codegenModule);
  return kernel.emitError("no emitter for kernel ")
         << kernel.getSymName() << " on the CPU";
}

void cpu::registerCodegenDialects(DialectRegistry &registry) {
  registry.insert<amx::AMXDialect, arith::ArithDialect, func::FuncDialect,
                  kernel::KernelDialect, LLVM::LLVMDialect, math::MathDialect,
                  memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect,
                  QwenDialect>();
}
