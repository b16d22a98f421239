//===- EmitCrossEntropyGrad.cpp - The gradients of the head's loss --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// After the loss: a unit is one slot of the vocabulary. For a few columns at a
// time it makes the logits' gradient of all rows again, adds its product with x
// to those columns' weight gradient, and its product with the weight to the
// slot's own part of dx; a last task adds up the parts.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Cpu/CrossEntropy.h"
#include "compiler/Codegen/Cpu/Emitters.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

namespace {
/// Operands by their numbers, so that each task finds its own pointers.
struct Places {
  LinearCrossEntropyGradOp op;
  Value x(SimdBuilder &b) { return operandPointer(b, op.getX()); }
  Value weight(SimdBuilder &b) { return operandPointer(b, op.getWeight()); }
  Value targets(SimdBuilder &b) { return operandPointer(b, op.getTargets()); }
  Value seed(SimdBuilder &b) { return operandPointer(b, op.getSeed()); }
};
} // namespace

/// Units: slots.
static Task emitSlots(Places &places, int64_t index, const HeadLoss &head,
                      const CpuTarget &target, ModuleOp module) {
  auto fn = places.op->getParentOfType<kernel::FuncOp>();
  SimdBuilder b(fn, index, target, module);
  Type f32 = b.f32();
  HeadWorkspace workspace(b);
  Value x = places.x(b), weight = places.weight(b);
  Value gradient = resultPointer(b, places.op.getResult());
  Value seed = b.load(f32, places.seed(b));
  Value logits = b.scratch(), dz = b.advance(logits, head.kTileBytes);
  // Both packed forms of the columns' weight, and what a product needs.
  Value packedNT = b.advance(dz, head.kGradBytes);
  Value packedNN = b.advance(packedNT, gemmPackedBytes(target));
  Value gemm = b.advance(packedNN, gemmPackedBytes(target));
  GemmKind toInput = {GemmForm::NN, head.x, head.weight};
  bool reuses = gemmKeepsPacked(toInput, target, head.hidden, head.kColumns);
  Value hidden = b.cst(head.hidden), zero = b.cst(0), one = b.cst(1);
  b.loop(b.begin(), b.end(), 1, [&](Value slot) {
    Value first = b.mul(slot, head.slotColumns());
    Value last = b.min(b.add(first, head.slotColumns()), head.vocabulary);
    Value part = b.at(workspace.end, b.mul(b.mul(slot, b.rows()), head.hidden));
    b.loop(first, last, head.kColumns, [&](Value column) {
      Value columns = b.min(b.sub(last, column), head.kColumns);
      Value weightRow = b.mul(column, head.hidden);
      Matrix weights = {b.at(weight, weightRow, head.weight), hidden};
      b.loop(b.rows(), head.kGradRows, [&](Value row0) {
        Value rows = b.min(b.sub(b.rows(), row0), head.kGradRows);
        Value reuse = b.select(b.eq(row0, zero), zero, one);
        b.loop(rows, head.kRows, [&](Value i0) {
          Value firstRow = b.add(row0, i0);
          Value count = b.min(b.sub(rows, i0), head.kRows);
          emitLogits(b, module, head, x, weight, firstRow, count, column,
                     columns, logits, gemm, packedNT,
                     b.select(b.eq(firstRow, zero), zero, one));
          b.loop(count, 1, [&](Value i) {
            Value row = b.add(firstRow, i);
            Value from = b.at(logits, b.mul(i, head.kColumns));
            Value to = b.at(dz, b.mul(b.add(i0, i), head.kColumns), head.x);
            emitLogitsGrad(b, head, from, f32, to, head.x, /*exact=*/false,
                           column, columns,
                           loadTarget(b, head, places.targets(b), row),
                           b.load(f32, b.at(workspace.lse, row)), seed);
          });
        });
        Matrix dzTile = {dz, b.cst(head.kColumns)};
        Value xRow = b.mul(row0, head.hidden);
        emitGemm(b, module,
                 {{GemmForm::TN, head.x, head.x},
                  dzTile,
                  {b.at(x, xRow, head.x), hidden},
                  {b.at(gradient, weightRow), hidden},
                  columns,
                  hidden,
                  rows,
                  one,
                  gemm});
        emitGemm(b, module,
                 {toInput,
                  dzTile,
                  weights,
                  {b.at(part, xRow), hidden},
                  rows,
                  hidden,
                  columns,
                  b.select(b.eq(column, first), zero, one),
                  gemm,
                  packedNN,
                  reuses ? reuse : Value()});
      });
    });
  });
  return b.task(constantUnits(fn.getContext(), head.slots()), 1);
}

/// Units: rows. dx is the sum of the slots' parts.
static Task emitSum(Places &places, int64_t index, const HeadLoss &head,
                    const CpuTarget &target, ModuleOp module) {
  auto fn = places.op->getParentOfType<kernel::FuncOp>();
  SimdBuilder b(fn, index, target, module);
  Type f32 = b.f32(), type = elementOf(places.op.getDx());
  HeadWorkspace workspace(b);
  Value dx = resultPointer(b, places.op.getDx());
  Value partSize = b.mul(b.rows(), head.hidden);
  b.loop(b.begin(), b.end(), 1, [&](Value row) {
    b.lanes(b.cst(head.hidden), [&](Value c, Value mask) {
      Value offset = b.add(b.mul(row, head.hidden), c);
      auto sum =
          b.loop(b.cst(0), b.cst(head.slots()), 1, ValueRange{b.splat(0.0)},
                 [&](Value slot, ValueRange carried) {
                   Value place = b.add(b.mul(slot, partSize), offset);
                   Value lanes = b.loadV(f32, b.at(workspace.end, place), mask);
                   return SimdBuilder::Values{b.addF(carried[0], lanes)};
                 });
      b.storeV(sum[0], type, b.at(dx, offset, type), mask);
    });
  });
  return b.task(rowUnits(fn.getContext()),
                grainFor(4 * head.slots() * head.hidden));
}

FailureOr<KernelCode> cpu::emitLinearCrossEntropyGrad(kernel::FuncOp fn,
                                                      const CpuTarget &target,
                                                      ModuleOp module) {
  auto op = blockOp<LinearCrossEntropyGradOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  HeadLoss head = {
      elementOf(op.getX()),          elementOf(op.getWeight()),
      dimOf(op.getX(), -1),          dimOf(op.getWeight(), 0),
      op.getCap().convertToDouble(), op.getZWeight().convertToDouble()};
  KernelCode code;
  emitStatistics(op, op.getX(), op.getWeight(), op.getTargets(), head,
                 /*findsBest=*/false, {op.getLoss(), {}, {}}, target, module,
                 code);
  Places places = {op};
  int64_t index = code.tasks.size();
  code.tasks.push_back(emitSlots(places, index, head, target, module));
  code.tasks.push_back(emitSum(places, index + 1, head, target, module));
  code.scratchBytes = HeadLoss::kTileBytes + HeadLoss::kGradBytes +
                      2 * gemmPackedBytes(target) + gemmScratchBytes(target);
  return code;
}

int64_t cpu::workspaceLinearCrossEntropyGrad(kernel::FuncOp fn,
                                             const CpuTarget &,
                                             int64_t maxRows) {
  auto op = blockOp<LinearCrossEntropyGradOp>(fn);
  return 4 * (HeadLoss::workspaceFloats(maxRows) +
              HeadLoss::kSlots * maxRows * dimOf(op.getX(), -1));
}
