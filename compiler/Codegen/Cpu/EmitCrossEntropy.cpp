//===- EmitCrossEntropy.cpp - The head's loss -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Cpu/CrossEntropy.h"
#include "compiler/Codegen/Cpu/Emitters.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

FailureOr<KernelCode> cpu::emitLinearCrossEntropy(kernel::FuncOp fn,
                                                  const CpuTarget &target,
                                                  ModuleOp module) {
  auto op = blockOp<LinearCrossEntropyOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  HeadLoss head = {
      elementOf(op.getX()),          elementOf(op.getWeight()),
      dimOf(op.getX(), -1),          dimOf(op.getWeight(), 0),
      op.getCap().convertToDouble(), op.getZWeight().convertToDouble()};
  KernelCode code;
  emitStatistics(op, op.getX(), op.getWeight(), op.getTargets(), head,
                 /*findsBest=*/true,
                 {op.getLoss(), op.getCount(), op.getCorrect()}, target, module,
                 code);
  code.scratchBytes = HeadLoss::kTileBytes + gemmScratchBytes(target);
  return code;
}

int64_t cpu::workspaceLinearCrossEntropy(kernel::FuncOp, const CpuTarget &,
                                         int64_t maxRows) {
  return 4 * HeadLoss::workspaceFloats(maxRows);
}

//===----------------------------------------------------------------------===//
// Of logits in memory
//===----------------------------------------------------------------------===//

template <typename Op> static HeadLoss headOf(Op op) {
  return {elementOf(op.getLogits()),
          {},
          /*hidden=*/0,
          dimOf(op.getLogits(), -1),
          /*cap=*/0,
          op.getZWeight().convertToDouble()};
}

FailureOr<KernelCode> cpu::emitCrossEntropy(kernel::FuncOp fn,
                                            const CpuTarget &target,
                                            ModuleOp module) {
  auto op = blockOp<CrossEntropyOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  KernelCode code;
  emitStatistics(op, op.getLogits(), {}, op.getTargets(), headOf(op),
                 /*findsBest=*/true,
                 {op.getLoss(), op.getCount(), op.getCorrect()}, target, module,
                 code);
  return code;
}

int64_t cpu::workspaceCrossEntropy(kernel::FuncOp, const CpuTarget &,
                                   int64_t maxRows) {
  return 4 * HeadLoss::workspaceFloats(maxRows);
}

FailureOr<KernelCode> cpu::emitCrossEntropyGrad(kernel::FuncOp fn,
                                                const CpuTarget &target,
                                                ModuleOp module) {
  auto op = blockOp<CrossEntropyGradOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  HeadLoss head = headOf(op);
  KernelCode code;
  emitStatistics(op, op.getLogits(), {}, op.getTargets(), head,
                 /*findsBest=*/false, {}, target, module, code);
  SimdBuilder b(fn, code.tasks.size(), target, module);
  HeadWorkspace workspace(b);
  Type from = head.x, to = elementOf(op.getResult());
  Value seed = b.load(b.f32(), operandPointer(b, op.getSeed()));
  b.loop(b.begin(), b.end(), 1, [&](Value row) {
    Value place = b.mul(row, head.vocabulary);
    emitLogitsGrad(b, head,
                   b.at(operandPointer(b, op.getLogits()), place, from), from,
                   b.at(resultPointer(b, op.getResult()), place, to), to,
                   /*exact=*/true, b.cst(0), b.cst(head.vocabulary),
                   loadTarget(b, head, operandPointer(b, op.getTargets()), row),
                   b.load(b.f32(), b.at(workspace.lse, row)), seed);
  });
  code.tasks.push_back(
      b.task(rowUnits(fn.getContext()), grainFor(8 * head.vocabulary)));
  return code;
}

int64_t cpu::workspaceCrossEntropyGrad(kernel::FuncOp, const CpuTarget &,
                                       int64_t maxRows) {
  return 4 * HeadLoss::workspaceFloats(maxRows);
}
