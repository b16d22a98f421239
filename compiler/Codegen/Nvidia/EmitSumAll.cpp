//===- EmitSumAll.cpp - Reductions to one number on GPUs ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A reduction of an elementwise value over all of its elements, then ops on
// scalars. Every block reduces a fixed number of elements into a slot of the
// workspace; one block of a second kernel reduces the slots in a fixed order.
// What fits one block needs no second kernel.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/RowThreads.h"

#include <limits>

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;
using kernel::ReductionKind;

static constexpr int64_t kThreads = 256;
/// Vectors that a thread takes of each tensor at a time, and how many times.
static constexpr int64_t kVectors = 4, kSteps = 4;
/// Threads of the second kernel, and slots that each has in flight.
static constexpr int64_t kFinalThreads = 512, kFinalUnroll = 4;

namespace {
/// The reductions of a kernel to one number.
class Totals {
public:
  explicit Totals(kernel::FuncOp kernel) : ops(totalsOf(kernel)) {}

  bool isMax(unsigned i) const {
    return kernel::ReduceOp(ops[i]).getKind() == ReductionKind::Max;
  }
  Value neutral(KernelBuilder &k, unsigned i) const {
    return k.f32(isMax(i) ? -std::numeric_limits<double>::infinity() : 0);
  }
  Value combine(KernelBuilder &k, unsigned i, Value x, Value y) const {
    return isMax(i) ? k.maximum(x, y) : k.add(x, y);
  }
  Value fold(KernelBuilder &k, unsigned i, Value vector) const {
    if (k.lanesOf(vector) == 0)
      return vector;
    return isMax(i) ? k.maxLanes(vector) : k.sumLanes(vector);
  }
  SmallVector<Value> overBlock(KernelBuilder &k, ValueRange values) const {
    return k.combineBlock(values, [&](unsigned i, Value x, Value y) {
      return combine(k, i, x, y);
    });
  }

  SmallVector<kernel::ReduceOp> ops;
};

/// What is reduced: its elements and how blocks divide them.
struct Extent {
  int64_t size;   ///< elements, for each row if there are rows
  bool isDynamic; ///< there are rows
  int64_t lanes;

  explicit Extent(kernel::FuncOp kernel) {
    RankedTensorType type = tensorOf(totalsOf(kernel).front().getOperand());
    size = staticElements(type);
    isDynamic = !type.hasStaticShape();
    lanes = flatLanes(SmallVector<Type>(kernel.getArgumentTypes()));
  }
  int64_t perStep() const { return kThreads * lanes * kVectors; }
  int64_t perBlock() const { return perStep() * kSteps; }
  int64_t blocks(int64_t rows) const {
    return llvm::divideCeil(size * (isDynamic ? rows : 1), perBlock());
  }
  bool isOneBlock() const { return !isDynamic && size <= perBlock(); }
  Value count(KernelBuilder &k) const {
    return isDynamic ? k.mulI(k.rows(), size) : k.i64(size);
  }
};
} // namespace

/// Evaluates and stores the results, by one thread.
static void emitResults(kernel::FuncOp kernel, KernelBuilder &k,
                        const Totals &totals, ValueRange sums) {
  RowThreads eval(k, kernel);
  k.ifThen(k.cmpI(CmpIPredicate::eq, k.thread(), k.i64(0)), [&] {
    for (auto [i, sum] : llvm::enumerate(sums))
      eval.define(kernel::ReduceOp(totals.ops[i]).getResult(), {}, sum);
    SmallVector<Value> values;
    for (Value root : returnOf(kernel).getOperands())
      values.push_back(eval.scalar(root, {}));
    for (auto [i, value] : llvm::enumerate(values))
      k.store(value, k.result(i));
  });
}

static void emitBlocks(kernel::FuncOp kernel, KernelBuilder &k,
                       const Totals &totals, const Extent &extent) {
  RowThreads eval(k, kernel, /*flat=*/true);
  Value count = extent.count(k);
  for (kernel::ReduceOp op : totals.ops)
    eval.hoist(op.getOperand(), {});
  // The totals with `lanes` columns (0: one) added.
  auto add = [&](ValueRange sums, Column column, int64_t lanes) {
    SmallVector<Value> next;
    for (auto [i, sum] : llvm::enumerate(sums)) {
      kernel::ReduceOp op = totals.ops[i];
      Value part = eval.lanes(op.getOperand(), {}, column, lanes);
      next.push_back(totals.combine(k, i, sum, totals.fold(k, i, part)));
    }
    return next;
  };
  SmallVector<Value> sums;
  for (unsigned i = 0; i < totals.ops.size(); ++i)
    sums.push_back(totals.neutral(k, i));
  Value first = k.mulI(k.block(), extent.perBlock());
  Value last = k.minI(k.addI(first, extent.perBlock()), count);
  Value rest = k.remI(k.subI(last, first), k.i64(extent.perStep()));
  Value middle = k.subI(last, rest);
  Value own = k.mulI(k.thread(), extent.lanes);
  sums = k.forLoop(
      first, middle, extent.perStep(), sums, [&](Value at, ValueRange carried) {
        SmallVector<Value> next(carried);
        eval.scope([&] {
          Value column = k.addI(at, own);
          for (int64_t v = 0; v < kVectors; ++v)
            next = add(next, {column, v * kThreads * extent.lanes, 0, 0},
                       extent.lanes > 1 ? extent.lanes : 0);
        });
        return next;
      });
  // What is less than a step of the block: one element at a time.
  sums = k.forLoop(k.addI(middle, k.thread()), last, kThreads, sums,
                   [&](Value at, ValueRange carried) {
                     SmallVector<Value> next;
                     eval.scope([&] { next = add(carried, {at, 0, 0, 0}, 0); });
                     return next;
                   });
  sums = totals.overBlock(k, sums);
  if (extent.isOneBlock())
    return emitResults(kernel, k, totals, sums);
  k.ifThen(k.cmpI(CmpIPredicate::eq, k.thread(), k.i64(0)), [&] {
    Value slot = k.mulI(k.block(), totals.ops.size());
    for (auto [i, sum] : llvm::enumerate(sums))
      k.store(sum, k.workspace(), k.addI(slot, i));
  });
}

static void emitFinal(kernel::FuncOp kernel, KernelBuilder &k,
                      const Totals &totals, const Extent &extent) {
  Value slots = k.divI(k.addI(extent.count(k), extent.perBlock() - 1),
                       k.i64(extent.perBlock()));
  int64_t number = totals.ops.size();
  SmallVector<Value> sums;
  for (int64_t i = 0; i < number; ++i)
    sums.push_back(totals.neutral(k, i));
  auto add = [&](ValueRange carried, Value slot) {
    SmallVector<Value> next;
    for (auto [i, sum] : llvm::enumerate(carried))
      next.push_back(totals.combine(
          k, i, sum,
          k.load(k.f32(), k.workspace(), k.addI(k.mulI(slot, number), i))));
    return next;
  };
  int64_t step = kFinalThreads * kFinalUnroll;
  Value middle = k.subI(slots, k.remI(slots, k.i64(step)));
  sums = k.forLoop(
      k.i64(0), middle, step, sums, [&](Value at, ValueRange carried) {
        SmallVector<Value> next(carried);
        for (int64_t u = 0; u < kFinalUnroll; ++u)
          next = add(next, k.addI(k.addI(at, k.thread()), u * kFinalThreads));
        return next;
      });
  sums =
      k.forLoop(k.addI(middle, k.thread()), slots, kFinalThreads, sums,
                [&](Value at, ValueRange carried) { return add(carried, at); });
  emitResults(kernel, k, totals, totals.overBlock(k, sums));
}

FailureOr<KernelCode> nvidia::emitSumAll(kernel::FuncOp kernel,
                                         const NvidiaTarget &target,
                                         gpu::GPUModuleOp module) {
  if (failed(checkBody(kernel)))
    return failure();
  Totals totals(kernel);
  SmallVector<Value> operands;
  for (kernel::ReduceOp op : totals.ops)
    operands.push_back(op.getOperand());
  if (!isFlat(operands))
    return kernel.emitError("a reduction to one number takes elementwise "
                            "values of one shape only");
  for (Type type : kernel.getResultTypes())
    if (cast<RankedTensorType>(type).getRank() != 0)
      return kernel.emitError("a kernel that reduces to one number has a "
                              "result that is none: ")
             << type;
  Extent extent(kernel);
  KernelBuilder blocks(kernel, 0, target, module, kThreads);
  emitBlocks(kernel, blocks, totals, extent);
  MLIRContext *context = kernel.getContext();
  KernelCode code{blocks.launch(
      extent.isDynamic ? rowUnits(context, extent.size, extent.perBlock())
                       : constantUnits(context, extent.blocks(1)))};
  if (extent.isOneBlock())
    return code;
  KernelBuilder final(kernel, 1, target, module, kFinalThreads);
  emitFinal(kernel, final, totals, extent);
  code.push_back(final.launch(constantUnits(context, 1)));
  return code;
}

int64_t nvidia::workspaceSumAll(kernel::FuncOp kernel, const NvidiaTarget &,
                                int64_t maxRows) {
  Extent extent(kernel);
  return extent.isOneBlock()
             ? 0
             : extent.blocks(maxRows) * totalsOf(kernel).size() * sizeof(float);
}
