//===- EmitCrossEntropy.cpp - The head's loss -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/BlockFrame.h"
#include "compiler/Codegen/Cpu/CrossEntropy.h"
#include "compiler/Codegen/Cpu/Emitters.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

FailureOr<KernelCode> cpu::emitCrossEntropy(kernel::FuncOp fn,
                                            const CpuTarget &target,
                                            ModuleOp module) {
  auto op = blockOp<LinearCrossEntropyOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  HeadLoss head = {elementOf(op.getX()), elementOf(op.getWeight()),
                   dimOf(op.getX(), -1), dimOf(op.getWeight(), 0),
                   op.getCap().convertToDouble()};
  KernelCode code;
  emitStatistics(op, op.getX(), op.getWeight(), op.getTargets(), head,
                 /*findsBest=*/true,
                 {op.getLoss(), op.getCount(), op.getCorrect()}, target, module,
                 code);
  code.scratchBytes = HeadLoss::kTileBytes + gemmScratchBytes(target);
  return code;
}

int64_t cpu::workspaceCrossEntropy(kernel::FuncOp, const CpuTarget &,
                                   int64_t maxRows) {
  return 4 * HeadLoss::workspaceFloats(maxRows);
}
