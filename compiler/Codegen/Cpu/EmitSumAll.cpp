//===- EmitSumAll.cpp - Kernels around a reduction to one number ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A reduction of an elementwise value over all of its elements, then ops on
// scalars. Blocks of a fixed size have their results in slots of the workspace,
// which a last task adds up in order: what is computed does not depend on the
// number of threads.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"
#include "compiler/Codegen/Cpu/RowLoops.h"

#include <limits>

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;
using kernel::ReductionKind;

/// Elements of one slot.
static constexpr int64_t kBlock = 8192;
/// Accumulators of 16 lanes.
static constexpr int64_t kAccumulators = 4;

static Value neutral(KernelBuilder &k, kernel::ReduceOp op, int64_t lanes) {
  bool isMax = op.getKind() == ReductionKind::Max;
  double value = isMax ? -std::numeric_limits<double>::infinity() : 0;
  return k.constant(lanes ? Type(k.vectorType(k.f32(), lanes)) : k.f32(),
                    value);
}

static Value combine(KernelBuilder &k, kernel::ReduceOp op, Value x, Value y) {
  return op.getKind() == ReductionKind::Max ? k.maximum(x, y) : k.add(x, y);
}

static Value fold(KernelBuilder &k, kernel::ReduceOp op, Value vector) {
  return op.getKind() == ReductionKind::Max ? k.maxLanes(vector)
                                            : k.sumLanes(vector);
}

/// Reduces `at(offset)` (lanes: 16, or 0 for one element) over [first, last):
/// steps of 4 x 16, then single elements.
static Value reduceRange(
    KernelBuilder &k, kernel::ReduceOp op, Value first, Value last,
    function_ref<Value(Value variable, int64_t offset, int64_t lanes)> at) {
  const int64_t step = kLanes * kAccumulators;
  Value middle = k.subI(last, k.remI(k.subI(last, first), k.i64(step)));
  SmallVector<Value> sums(kAccumulators, neutral(k, op, kLanes));
  sums =
      k.forLoop(first, middle, step, sums, [&](Value variable, ValueRange in) {
        SmallVector<Value> next;
        for (int64_t u = 0; u < kAccumulators; ++u)
          next.push_back(
              combine(k, op, in[u], at(variable, u * kLanes, kLanes)));
        return next;
      });
  SmallVector<Value> rest = {neutral(k, op, 0)};
  rest = k.forLoop(middle, last, 1, rest, [&](Value variable, ValueRange in) {
    return SmallVector<Value>{combine(k, op, in[0], at(variable, 0, 0))};
  });
  Value total = combine(k, op, combine(k, op, sums[0], sums[1]),
                        combine(k, op, sums[2], sums[3]));
  return combine(k, op, fold(k, op, total), rest[0]);
}

FailureOr<KernelCode> cpu::emitSumAll(kernel::FuncOp kernel,
                                      const CpuTarget &target,
                                      ModuleOp module) {
  if (failed(checkBody(kernel)))
    return failure();
  SmallVector<kernel::ReduceOp> ops = totalsOf(kernel);
  SmallVector<Value> operands;
  for (auto op : ops)
    operands.push_back(op.getOperand());
  if (!isFlat(operands))
    return kernel.emitError(
        "a reduction to one number takes elementwise values "
        "of one shape only");
  for (Type type : kernel.getResultTypes())
    if (cast<RankedTensorType>(type).getRank() != 0)
      return kernel.emitError(
                 "a kernel that reduces to one number has a result "
                 "that is none: ")
             << type;

  RankedTensorType type = tensorOf(operands.front());
  int64_t size = staticElements(type), slots = ops.size();
  bool isDynamic = !type.hasStaticShape();
  MLIRContext *context = kernel.getContext();
  AffineMap units =
      isDynamic ? rowUnits(context, size, kBlock)
                : constantUnits(context, llvm::divideCeil(size, kBlock));
  auto elements = [&](KernelBuilder &k) {
    return isDynamic ? k.mulI(k.rows(), size) : k.i64(size);
  };

  KernelBuilder blocks(kernel, 0, target, module);
  {
    KernelBuilder &k = blocks;
    RowLoops eval(k, kernel, /*flat=*/true);
    Value count = elements(k);
    for (Value operand : operands)
      eval.hoist(operand, {});
    k.forLoop(k.begin(), k.end(), 1, [&](Value block) {
      Value first = k.mulI(block, kBlock);
      Value last = k.minI(k.addI(first, kBlock), count);
      for (auto [i, op] : llvm::enumerate(ops))
        eval.scope([&, i = i, op = op] {
          Value total =
              reduceRange(k, op, first, last,
                          [&](Value variable, int64_t offset, int64_t lanes) {
                            return eval.lanes(operands[i], {},
                                              {variable, offset, 0, 0}, lanes);
                          });
          k.store(total, k.workspace(), k.addI(k.mulI(block, slots), i));
        });
    });
  }

  KernelBuilder final(kernel, 1, target, module);
  {
    KernelBuilder &k = final;
    RowLoops eval(k, kernel);
    Value count = k.divI(k.addI(elements(k), kBlock - 1), k.i64(kBlock));
    k.ifThen(k.cmpI(arith::CmpIPredicate::slt, k.begin(), k.end()), [&] {
      for (auto [i, op] : llvm::enumerate(ops)) {
        int64_t slot = i;
        // One after the other would lose digits with many slots: as in a block.
        Value total;
        if (slots == 1)
          total = reduceRange(
              k, op, k.i64(0), count,
              [&](Value variable, int64_t offset, int64_t lanes) {
                Type type =
                    lanes ? Type(k.vectorType(k.f32(), lanes)) : k.f32();
                return k.load(type, k.workspace(), k.addI(variable, offset));
              });
        else
          total = k.forLoop(k.i64(0), count, 1, ValueRange{neutral(k, op, 0)},
                            [&, op = op](Value variable, ValueRange in) {
                              Value at = k.addI(k.mulI(variable, slots), slot);
                              Value part = k.load(k.f32(), k.workspace(), at);
                              return SmallVector<Value>{
                                  combine(k, op, in[0], part)};
                            })[0];
        eval.define(op.getResult(), {}, total);
      }
      SmallVector<Value> values;
      for (Value root : returnOf(kernel).getOperands())
        values.push_back(eval.scalar(root, {}));
      for (auto [i, value] : llvm::enumerate(values))
        k.store(value, k.result(i));
    });
  }
  int64_t bytes = kBlock * 4;
  return KernelCode{{blocks.task(units, grainFor(bytes)),
                     final.task(constantUnits(context, 1), 1)},
                    0};
}

int64_t cpu::workspaceSumAll(kernel::FuncOp kernel, const CpuTarget &,
                             int64_t maxRows) {
  SmallVector<kernel::ReduceOp> ops = totalsOf(kernel);
  RankedTensorType type = tensorOf(ops.front().getOperand());
  int64_t elements = staticElements(type);
  if (!type.hasStaticShape())
    elements *= maxRows;
  return llvm::divideCeil(elements, kBlock) * ops.size() * sizeof(float);
}
