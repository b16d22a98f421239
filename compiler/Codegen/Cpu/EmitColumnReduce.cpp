//===- EmitColumnReduce.cpp - Kernels that sum over rows ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Gradients of norm weights and biases. Blocks of a fixed number of rows have
// their sums in slots of the workspace; a second task adds the slots up in
// order and evaluates what the kernel makes of the sum (adding an accumulator).
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"
#include "compiler/Codegen/Cpu/RowLoops.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

/// Rows (of the leading dimension) of one slot.
static constexpr int64_t kBlockRows = 64;
/// Columns of one unit of the last task.
static constexpr int64_t kBlockColumns = 256;
/// Rows whose columns are added in one pass over a slot.
static constexpr int64_t kPassRows = 4;

static LogicalResult check(kernel::FuncOp kernel,
                           ArrayRef<kernel::ReduceOp> sums) {
  if (failed(checkBody(kernel)))
    return failure();
  if (sums.empty())
    return kernel.emitError("the kernel has no sum over its rows");
  ArrayRef<int64_t> shape =
      tensorOf(kernel::ReduceOp(sums.front()).getOperand()).getShape();
  for (int64_t size : shape.drop_front())
    if (ShapedType::isDynamic(size))
      return kernel.emitError("only the leading dimension of a sum over rows "
                              "can be dynamic");
  for (kernel::ReduceOp op : sums)
    if (tensorOf(op.getOperand()).getShape() != shape)
      return op.emitError("the sums of a kernel are over tensors of one shape");
  for (Type type : kernel.getResultTypes())
    if (cast<RankedTensorType>(type).getShape() != shape.take_back())
      return kernel.emitError("a result is not a vector of sums: ") << type;
  return success();
}

namespace {
/// The first task: sums of blocks.
class BlockSums {
public:
  BlockSums(kernel::FuncOp kernel, KernelBuilder &k,
            ArrayRef<kernel::ReduceOp> sums)
      : k(k), eval(k, kernel), sums(sums) {
    RankedTensorType type =
        tensorOf(kernel::ReduceOp(sums.front()).getOperand());
    width = type.getShape().back();
    inner.assign(type.getShape().begin() + 1, type.getShape().end() - 1);
    rows = type.isDynamicDim(0) ? k.rows() : k.i64(type.getDimSize(0));
  }

  void emit() {
    k.forLoop(k.begin(), k.end(), 1, [&](Value block) {
      Value slot = k.pointerAt(k.workspace(), k.f32(),
                               k.mulI(block, width * sums.size()));
      eval.forColumns(
          width * sums.size(), 4, [&](Column column, int64_t lanes) {
            Value zero = k.constant(k.vectorType(k.f32(), lanes), 0);
            k.store(zero, at(slot, column), k.i64(column.offset));
          });
      Value first = k.mulI(block, kBlockRows);
      Value last = k.minI(k.addI(first, kBlockRows), rows);
      if (inner.empty())
        return addRows(slot, first, last, {});
      k.forLoop(first, last, 1, [&](Value row) {
        SmallVector<Value> index{row};
        nest(slot, index);
      });
    });
  }

private:
  Value at(Value pointer, const Column &column) {
    return column.variable ? k.pointerAt(pointer, k.f32(), column.variable)
                           : pointer;
  }

  /// Loops over the dimensions between rows and columns but the last of them.
  void nest(Value slot, SmallVector<Value> &index) {
    if (index.size() == inner.size())
      return addRows(slot, k.i64(0), k.i64(inner.back()), index);
    k.forLoop(k.i64(0), k.i64(inner[index.size() - 1]), 1, [&](Value i) {
      index.push_back(i);
      nest(slot, index);
      index.pop_back();
    });
  }

  /// Adds rows outer x [first, last) to the slot, in order.
  void addRows(Value slot, Value first, Value last, ArrayRef<Value> outer) {
    Value rest = k.remI(k.subI(last, first), k.i64(kPassRows));
    Value middle = k.subI(last, rest);
    k.forLoop(first, middle, kPassRows,
              [&](Value row) { addPass(slot, row, kPassRows, outer); });
    k.forLoop(middle, last, 1,
              [&](Value row) { addPass(slot, row, 1, outer); });
  }

  void addPass(Value slot, Value row, int64_t count, ArrayRef<Value> outer) {
    eval.scope([&] {
      SmallVector<SmallVector<Value>> indices;
      for (int64_t i = 0; i < count; ++i) {
        indices.emplace_back(outer).push_back(k.addI(row, i));
        for (kernel::ReduceOp op : sums)
          eval.hoist(op.getOperand(), indices.back());
      }
      SmallVector<int64_t> edges{0, width};
      for (kernel::ReduceOp op : sums)
        edges.append(eval.breaks(op.getOperand()));
      llvm::sort(edges);
      edges.erase(llvm::unique(edges), edges.end());
      for (size_t s = 0; s + 1 < edges.size(); ++s)
        eval.forColumns(
            edges[s + 1] - edges[s], 1, [&](Column column, int64_t lanes) {
              addColumns(slot, indices, column.shifted(edges[s]), lanes);
            });
    });
  }

  void addColumns(Value slot, ArrayRef<SmallVector<Value>> indices,
                  Column column, int64_t lanes) {
    for (auto [i, op] : llvm::enumerate(sums)) {
      Value place = at(slot, column);
      Value offset = k.i64(column.offset + i * width);
      Value sum = k.load(k.vectorType(k.f32(), lanes), place, offset);
      for (const SmallVector<Value> &index : indices)
        sum = k.add(sum, eval.lanes(kernel::ReduceOp(op).getOperand(), index,
                                    column, lanes));
      k.store(sum, place, offset);
    }
  }

  KernelBuilder &k;
  RowLoops eval;
  ArrayRef<kernel::ReduceOp> sums;
  int64_t width;
  SmallVector<int64_t> inner;
  Value rows;
};
} // namespace

/// The second task: adds the slots of 256 columns and stores the results.
static void emitFinal(kernel::FuncOp kernel, KernelBuilder &k,
                      ArrayRef<kernel::ReduceOp> sums) {
  RowLoops eval(k, kernel);
  RankedTensorType type = tensorOf(kernel::ReduceOp(sums.front()).getOperand());
  int64_t width = type.getShape().back(), slotSize = width * sums.size();
  Value rows = type.isDynamicDim(0) ? k.rows() : k.i64(type.getDimSize(0));
  Value slots = k.divI(k.addI(rows, kBlockRows - 1), k.i64(kBlockRows));
  ValueRange roots = returnOf(kernel).getOperands();
  for (Value root : roots)
    eval.hoist(root, {});

  auto compute = [&](Column column, int64_t lanes) {
    Type vector = k.vectorType(k.f32(), lanes);
    auto place = [&](Value pointer, Type element) {
      return column.variable ? k.pointerAt(pointer, element, column.variable)
                             : pointer;
    };
    eval.scope([&] {
      SmallVector<Value> totals(sums.size(), k.constant(vector, 0));
      totals =
          k.forLoop(k.i64(0), slots, 1, totals, [&](Value slot, ValueRange in) {
            SmallVector<Value> next;
            Value base = place(
                k.pointerAt(k.workspace(), k.f32(), k.mulI(slot, slotSize)),
                k.f32());
            for (size_t i = 0; i < sums.size(); ++i)
              next.push_back(
                  k.add(in[i], k.load(vector, base,
                                      k.i64(column.offset + i * width))));
            return next;
          });
      for (auto [op, total] : llvm::zip(sums, totals))
        eval.defineLanes(kernel::ReduceOp(op).getResult(), {}, column, lanes,
                         total);
      SmallVector<Value> values;
      for (Value root : roots)
        values.push_back(eval.lanes(root, {}, column, lanes));
      for (auto [i, value] : llvm::enumerate(values))
        k.store(value, place(k.result(i), k.elementType(value)),
                k.i64(column.offset));
    });
  };
  // Whole blocks of columns in a loop; the rest belongs to the last unit.
  int64_t whole = width / kBlockColumns * kBlockColumns;
  Value first = k.mulI(k.begin(), kBlockColumns);
  Value last = k.minI(k.mulI(k.end(), kBlockColumns), k.i64(whole));
  k.forLoop(first, last, kLanes,
            [&](Value variable) { compute({variable, 0, 0, width}, kLanes); });
  if (whole == width)
    return;
  Value hasRest = k.cmpI(arith::CmpIPredicate::sgt,
                         k.mulI(k.end(), kBlockColumns), k.i64(whole));
  k.ifThen(hasRest, [&] {
    eval.forColumns(width - whole, 1, [&](Column column, int64_t lanes) {
      compute(column.shifted(whole), lanes);
    });
  });
}

FailureOr<KernelCode> cpu::emitColumnReduce(kernel::FuncOp kernel,
                                            const CpuTarget &target,
                                            ModuleOp module) {
  SmallVector<kernel::ReduceOp> sums = columnSumsOf(kernel);
  if (failed(check(kernel, sums)))
    return failure();
  RankedTensorType type = tensorOf(sums.front().getOperand());
  KernelBuilder blocks(kernel, 0, target, module);
  BlockSums(kernel, blocks, sums).emit();
  KernelBuilder final(kernel, 1, target, module);
  emitFinal(kernel, final, sums);

  MLIRContext *context = kernel.getContext();
  AffineMap units =
      type.isDynamicDim(0)
          ? rowUnits(context, 1, kBlockRows)
          : constantUnits(context,
                          llvm::divideCeil(type.getDimSize(0), kBlockRows));
  int64_t columnUnits = llvm::divideCeil(type.getShape().back(), kBlockColumns);
  return KernelCode{{blocks.task(units, 1),
                     final.task(constantUnits(context, columnUnits), 1)},
                    0};
}

int64_t cpu::workspaceColumnReduce(kernel::FuncOp kernel, const CpuTarget &,
                                   int64_t maxRows) {
  SmallVector<kernel::ReduceOp> sums = columnSumsOf(kernel);
  if (sums.empty())
    return 0;
  RankedTensorType type = tensorOf(sums.front().getOperand());
  int64_t rows = type.isDynamicDim(0) ? maxRows : type.getDimSize(0);
  return llvm::divideCeil(rows, kBlockRows) * type.getShape().back() *
         sums.size() * sizeof(float);
}
