//===- EmitColumnReduce.cpp - Kernels that sum over rows, on GPUs ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Gradients of norm weights and biases. A block sums a fixed number of rows of
// some columns: its threads stand in lines, each of which takes every n-th row,
// and the lines are added up in shared memory. A second kernel adds the blocks'
// sums in order and evaluates what the kernel makes of the sum.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/RowThreads.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

/// Threads of a block, of both kernels.
static constexpr int64_t kThreads = 256;
/// Elements that a block of the first kernel sums, more or less.
static constexpr int64_t kBlockElements = 65536;
/// Rows that a thread has in flight.
static constexpr int64_t kUnroll = 4;
/// Columns of a block of the second kernel.
static constexpr int64_t kFinalColumns = 32;

namespace {
/// How rows and columns are divided.
struct Division {
  int64_t width, lanes, sums; ///< columns, lanes of a thread, sums of a row
  int64_t inner;              ///< rows for each one of the leading dimension
  int64_t threads;            ///< of a line
  int64_t rows;               ///< of a block

  int64_t lines() const { return kThreads / threads; }
  int64_t tiles() const { return llvm::divideCeil(width, threads * lanes); }
  int64_t slotSize() const { return width * sums; }
};
} // namespace

static FailureOr<Division> divide(kernel::FuncOp kernel) {
  SmallVector<kernel::ReduceOp> sums = columnSumsOf(kernel);
  if (failed(checkBody(kernel)))
    return failure();
  if (sums.empty())
    return kernel.emitError("the kernel has no sum over its rows");
  ArrayRef<int64_t> shape = tensorOf(sums.front().getOperand()).getShape();
  Division division;
  division.inner = 1;
  for (int64_t size : shape.drop_front().drop_back())
    division.inner *= size;
  SmallVector<int64_t> edges{shape.back()};
  for (auto op : kernel.getBody().front().getOps<kernel::ReduceOp>()) {
    if (!llvm::is_contained(sums, op))
      return op.emitError("a sum over rows of what is itself reduced");
    if (tensorOf(op.getOperand()).getShape() != shape)
      return op.emitError("the sums of a kernel are over tensors of one shape");
    if (!RowEval::breaks(op.getOperand()).empty())
      return op.emitError("a sum over rows of parts that are joined");
  }
  for (int64_t size : shape.drop_front())
    if (ShapedType::isDynamic(size))
      return kernel.emitError("only the leading dimension of a sum over rows "
                              "can be dynamic");
  for (Type type : kernel.getResultTypes())
    if (cast<RankedTensorType>(type).getShape() != shape.take_back())
      return kernel.emitError("a result is not a vector of sums: ") << type;
  division.width = shape.back();
  division.sums = sums.size();
  division.lanes = lanesFor(kernel, shape.drop_back(), edges);
  division.threads = std::min<int64_t>(
      kThreads, llvm::bit_ceil(static_cast<uint64_t>(
                    llvm::divideCeil(division.width, division.lanes))));
  int64_t columns = std::min(division.width, division.threads * division.lanes);
  division.rows = std::max<int64_t>(1, kBlockElements / columns /
                                           division.lines() / kUnroll) *
                  division.lines() * kUnroll;
  return division;
}

namespace {
/// The first kernel: sums of blocks.
class BlockSums {
public:
  BlockSums(kernel::FuncOp kernel, KernelBuilder &k, const Division &division)
      : k(k), eval(k, kernel), division(division), sums(columnSumsOf(kernel)) {
    RankedTensorType type = tensorOf(sums.front().getOperand());
    for (int64_t size : type.getShape().drop_front().drop_back())
      innerSizes.push_back(size);
    rows = k.mulI(type.isDynamicDim(0) ? k.rows() : k.i64(type.getDimSize(0)),
                  division.inner);
  }

  void emit();

private:
  SmallVector<Value> addRow(Value row, ValueRange totals);
  void storeTotals(ValueRange totals);

  KernelBuilder &k;
  RowThreads eval;
  const Division &division;
  SmallVector<kernel::ReduceOp> sums;
  SmallVector<int64_t> innerSizes;
  Value rows, column, inside;
  SmallVector<Value> places; // of the lines' totals in shared memory
};
} // namespace

/// The totals with the columns of one row added.
SmallVector<Value> BlockSums::addRow(Value row, ValueRange totals) {
  SmallVector<Value, 3> reversed, index;
  for (int64_t size : llvm::reverse(innerSizes)) {
    reversed.push_back(k.remI(row, k.i64(size)));
    row = k.divI(row, k.i64(size));
  }
  index = {row};
  index.append(reversed.rbegin(), reversed.rend());
  SmallVector<Value> next;
  Column at{column, 0, 0, division.width};
  int64_t lanes = division.lanes > 1 ? division.lanes : 0;
  for (auto [op, total] : llvm::zip(sums, totals))
    next.push_back(k.add(total, eval.lanes(op.getOperand(), index, at, lanes)));
  return next;
}

void BlockSums::emit() {
  Value line = k.divI(k.thread(), k.i64(division.threads));
  Value first = k.mulI(k.addI(k.mulI(k.block(1), division.threads),
                              k.remI(k.thread(), k.i64(division.threads))),
                       division.lanes);
  // Threads behind the last column take the first ones, and store nothing.
  inside = k.cmpI(CmpIPredicate::slt, first, k.i64(division.width));
  column = k.select(inside, first, k.i64(0));

  Type type = division.lanes > 1 ? Type(k.vectorType(k.f32(), division.lanes))
                                 : k.f32();
  SmallVector<Value> totals(sums.size(), k.constant(type, 0));
  Value begin = k.mulI(k.block(), division.rows);
  Value end = k.minI(k.addI(begin, division.rows), rows);
  int64_t lines = division.lines(), step = lines * kUnroll;
  // Whole steps first: their loads are in flight together.
  Value rest = k.remI(k.subI(end, begin), k.i64(step));
  Value middle = k.subI(end, rest);
  totals = k.forLoop(
      begin, middle, step, totals, [&](Value row, ValueRange carried) {
        SmallVector<Value> next(carried);
        eval.scope([&] {
          for (int64_t u = 0; u < kUnroll; ++u)
            next = addRow(k.addI(k.addI(row, line), u * lines), next);
        });
        return next;
      });
  totals = k.forLoop(k.addI(middle, line), end, lines, totals,
                     [&](Value row, ValueRange carried) {
                       SmallVector<Value> next;
                       eval.scope([&] { next = addRow(row, carried); });
                       return next;
                     });

  if (lines > 1) {
    // Every line leaves its totals; the first one adds them in order.
    int64_t width = division.threads * division.lanes;
    Value own =
        k.mulI(k.remI(k.thread(), k.i64(division.threads)), division.lanes);
    for (Value total : totals) {
      places.push_back(k.shared(lines * width * sizeof(float)));
      k.store(total, places.back(), k.addI(k.mulI(line, width), own));
    }
    k.barrier();
    for (auto [total, place] : llvm::zip(totals, places)) {
      total = k.load(type, place, own);
      for (int64_t i = 1; i < lines; ++i)
        total = k.add(total, k.load(type, place, k.addI(own, i * width)));
    }
    Value isFirst = k.cmpI(CmpIPredicate::eq, line, k.i64(0));
    inside = arith::AndIOp::create(k.b, k.loc, inside, isFirst);
  }
  k.ifThen(inside, [&] {
    Value slot = k.addI(k.mulI(k.block(), division.slotSize()), column);
    for (auto [i, total] : llvm::enumerate(totals))
      k.store(total, k.workspace(), k.addI(slot, i * division.width));
  });
}

/// The second kernel: some columns of the slots, which lines of threads add up.
static void emitFinal(kernel::FuncOp kernel, KernelBuilder &k,
                      const Division &division) {
  RowThreads eval(k, kernel);
  SmallVector<kernel::ReduceOp> sums = columnSumsOf(kernel);
  RankedTensorType type = tensorOf(sums.front().getOperand());
  Value rows =
      k.mulI(type.isDynamicDim(0) ? k.rows() : k.i64(type.getDimSize(0)),
             division.inner);
  Value slots = k.divI(k.addI(rows, division.rows - 1), k.i64(division.rows));
  Value own = k.remI(k.thread(), k.i64(kFinalColumns));
  Value line = k.divI(k.thread(), k.i64(kFinalColumns));
  Value first = k.addI(k.mulI(k.block(), kFinalColumns), own);
  Value inside = k.cmpI(CmpIPredicate::slt, first, k.i64(division.width));
  Value column = k.select(inside, first, k.i64(0));
  int64_t lines = kThreads / kFinalColumns;

  SmallVector<Value> totals(sums.size(), k.f32(0));
  totals = k.forLoop(
      line, slots, lines, totals, [&](Value slot, ValueRange carried) {
        SmallVector<Value> next;
        Value at = k.addI(k.mulI(slot, division.slotSize()), column);
        for (auto [i, total] : llvm::enumerate(carried))
          next.push_back(k.add(total, k.load(k.f32(), k.workspace(),
                                             k.addI(at, i * division.width))));
        return next;
      });
  SmallVector<Value> places;
  for (Value total : totals) {
    places.push_back(k.shared(kThreads * sizeof(float)));
    k.store(total, places.back(), k.thread());
  }
  k.barrier();
  Value isFirst = k.cmpI(CmpIPredicate::eq, line, k.i64(0));
  Value stores = arith::AndIOp::create(k.b, k.loc, inside, isFirst);
  k.ifThen(stores, [&] {
    Column at{column, 0, 0, division.width};
    for (auto [op, place] : llvm::zip(sums, places)) {
      Value total = k.load(k.f32(), place, own);
      for (int64_t i = 1; i < lines; ++i)
        total = k.add(total,
                      k.load(k.f32(), place, k.addI(own, i * kFinalColumns)));
      eval.defineLanes(op.getResult(), {}, at, 0, total);
    }
    SmallVector<Value> values;
    for (Value root : returnOf(kernel).getOperands())
      values.push_back(eval.lanes(root, {}, at, 0));
    for (auto [i, value] : llvm::enumerate(values))
      k.store(value, k.result(i), column);
  });
}

FailureOr<KernelCode> nvidia::emitColumnReduce(kernel::FuncOp kernel,
                                               const NvidiaTarget &target,
                                               gpu::GPUModuleOp module) {
  FailureOr<Division> division = divide(kernel);
  if (failed(division))
    return failure();
  KernelBuilder blocks(kernel, 0, target, module, kThreads);
  BlockSums(kernel, blocks, *division).emit();
  KernelBuilder final(kernel, 1, target, module, kThreads);
  emitFinal(kernel, final, *division);

  MLIRContext *context = kernel.getContext();
  RankedTensorType type = tensorOf(columnSumsOf(kernel).front().getOperand());
  AffineMap rowBlocks =
      type.isDynamicDim(0)
          ? rowUnits(context, division->inner, division->rows)
          : constantUnits(context,
                          llvm::divideCeil(type.getDimSize(0) * division->inner,
                                           division->rows));
  return KernelCode{
      blocks.launch(rowBlocks, constantUnits(context, division->tiles())),
      final.launch(constantUnits(
          context, llvm::divideCeil(division->width, kFinalColumns)))};
}

int64_t nvidia::workspaceColumnReduce(kernel::FuncOp kernel,
                                      const NvidiaTarget &, int64_t maxRows) {
  SmallVector<kernel::ReduceOp> sums = columnSumsOf(kernel);
  if (sums.empty())
    return 0;
  ScopedDiagnosticHandler quiet(kernel.getContext(),
                                [](Diagnostic &) { return success(); });
  FailureOr<Division> division = divide(kernel);
  if (failed(division)) // reported when the kernel is emitted
    return 0;
  RankedTensorType type = tensorOf(sums.front().getOperand());
  int64_t rows = type.isDynamicDim(0) ? maxRows : type.getDimSize(0);
  return llvm::divideCeil(rows * division->inner, division->rows) *
         division->slotSize() * sizeof(float);
}
