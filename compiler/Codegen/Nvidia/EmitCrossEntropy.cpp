//===- EmitCrossEntropy.cpp - The loss of logits in memory on GPUs --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/HeadLoss.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

/// Accesses of a thread of the gradient.
static constexpr int64_t kVectors = 4;

template <typename Op> static HeadLoss headOf(Op op) {
  return {op,
          op.getLogits(),
          /*weight=*/{},
          op.getTargets(),
          /*cap=*/0,
          op.getZWeight().convertToDouble()};
}

FailureOr<KernelCode> nvidia::emitCrossEntropy(kernel::FuncOp fn,
                                               const NvidiaTarget &target,
                                               gpu::GPUModuleOp module) {
  auto op = blockOp<CrossEntropyOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  KernelCode code;
  headOf(op).emit(op.getLoss(), op.getCount(), op.getCorrect(), target, module,
                  code);
  return code;
}

int64_t nvidia::workspaceCrossEntropy(kernel::FuncOp, const NvidiaTarget &,
                                      int64_t maxRows) {
  return HeadLoss::workspaceBytes(maxRows);
}

/// dz. Blocks: rows, columns.
static Launch emitGrads(CrossEntropyGradOp op, const HeadLoss &head,
                        int64_t index, const NvidiaTarget &target,
                        gpu::GPUModuleOp module) {
  constexpr int64_t threads = HeadLoss::kLogitThreads;
  KernelBuilder k(op->getParentOfType<kernel::FuncOp>(), index, target, module,
                  threads);
  int64_t vocabulary = head.vocabulary(), lanes = head.logitLanes();
  Type from = elementOf(op.getLogits()), to = elementOf(op.getResult());
  Value row = k.block(0);
  Value wanted = head.target(k, row);
  Value counts = k.cmpI(CmpIPredicate::sge, wanted, k.i64(0));
  Value lse = k.load(k.f32(), head.lse(k), row);
  Value zFactor = k.fma(lse, k.f32(2 * head.zWeight), k.f32(1));
  Value seed = k.load(k.f32(), operandPointer(k, op.getSeed()));
  Value start = k.mulI(row, vocabulary), zero = k.f32(0);
  Value logits = k.pointerAt(operandPointer(k, op.getLogits()), from, start);
  Value result = k.pointerAt(resultPointer(k, op.getResult()), to, start);
  Value first = k.addI(k.mulI(k.block(1), threads * lanes * kVectors),
                       k.mulI(k.thread(), lanes));
  for (int64_t v = 0; v < kVectors; ++v) {
    Value column = k.addI(first, v * threads * lanes);
    k.ifThen(k.cmpI(CmpIPredicate::slt, column, k.i64(vocabulary)), [&] {
      Value all = lanes > 1 ? k.loadF32(from, lanes, logits, column)
                            : k.widen(k.load(from, logits, column));
      SmallVector<Value> grads;
      for (int64_t i = 0; i < lanes; ++i) {
        Value z = lanes > 1 ? k.extract(all, i) : all;
        Value p = k.mul(k.exp(k.sub(z, lse)), zFactor);
        Value isTarget = k.cmpI(CmpIPredicate::eq, k.addI(column, i), wanted);
        Value dz = k.mul(k.sub(p, k.select(isTarget, k.f32(1), zero)), seed);
        // A row whose target does not count has no gradient at all, whatever
        // its logits are.
        grads.push_back(k.select(counts, dz, zero));
      }
      Value dz = lanes > 1
                     ? Value(vector::FromElementsOp::create(
                           k.b, k.loc, k.vectorType(k.f32(), lanes), grads))
                     : grads.front();
      k.storeF32(dz, to, result, column);
    });
  }
  MLIRContext *context = op.getContext();
  return k.launch(rowUnits(context),
                  blocks(context, llvm::divideCeil(vocabulary, threads * lanes *
                                                                   kVectors)));
}

FailureOr<KernelCode> nvidia::emitCrossEntropyGrad(kernel::FuncOp fn,
                                                   const NvidiaTarget &target,
                                                   gpu::GPUModuleOp module) {
  auto op = blockOp<CrossEntropyGradOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  HeadLoss head = headOf(op);
  KernelCode code;
  head.emit({}, {}, {}, target, module, code);
  code.push_back(emitGrads(op, head, code.size(), target, module));
  return code;
}

int64_t nvidia::workspaceCrossEntropyGrad(kernel::FuncOp, const NvidiaTarget &,
                                          int64_t maxRows) {
  return HeadLoss::workspaceBytes(maxRows);
}
