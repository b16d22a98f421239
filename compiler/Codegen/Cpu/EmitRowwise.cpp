//===- EmitRowwise.cpp - Row-wise kernels ---------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Two forms. Bodies whose values all have one shape are one loop over their
// elements, in blocks. In all others a unit is one index of the leading
// dimension; for every row first the reductions are computed, each depth of
// them in one pass over the columns, then the results are stored in a last pass
// that reads the row again from the first-level cache.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"
#include "compiler/Codegen/Cpu/RowLoops.h"
#include "compiler/Codegen/RowForm.h"

#include <functional>

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

/// Elements of one unit of a flat kernel.
static constexpr int64_t kFlatBlock = 2048;

/// Number of leading dynamic dimensions: together they are the rows.
static int64_t dynamicDims(RankedTensorType type) {
  return llvm::count_if(type.getShape(), ShapedType::isDynamic);
}

/// Bytes that one row of the kernel moves: all tensors that have the rows.
static int64_t rowBytes(kernel::FuncOp kernel, int64_t leading) {
  int64_t bytes = 0;
  auto count = [&](Type type) {
    auto tensor = cast<RankedTensorType>(type);
    if (tensor.getRank() > 0 && tensor.getDimSize(0) == leading)
      bytes +=
          staticBytes(tensor) / (ShapedType::isDynamic(leading) ? 1 : leading);
  };
  llvm::for_each(kernel.getArgumentTypes(), count);
  llvm::for_each(kernel.getResultTypes(), count);
  return bytes;
}

//===----------------------------------------------------------------------===//
// One loop over all elements
//===----------------------------------------------------------------------===//

static KernelCode emitFlat(kernel::FuncOp kernel, const CpuTarget &target,
                           ModuleOp module) {
  KernelBuilder k(kernel, 0, target, module);
  RowLoops eval(k, kernel, /*flat=*/true);
  ValueRange roots = returnOf(kernel).getOperands();
  RankedTensorType type = tensorOf(roots.front());
  int64_t size = staticElements(type);
  bool isDynamic = dynamicDims(type) > 0;
  Value count = isDynamic ? k.mulI(k.rows(), size) : k.i64(size);
  for (Value root : roots)
    eval.hoist(root, {});

  auto compute = [&](Column column, int64_t lanes) {
    SmallVector<Value> values;
    for (Value root : roots)
      values.push_back(eval.lanes(root, {}, column, lanes));
    for (auto [i, value] : llvm::enumerate(values))
      k.store(value,
              k.pointerAt(k.result(i), k.elementType(value), column.variable),
              k.i64(column.offset));
  };
  int64_t step = kLanes * unrollFor(kernel);
  Value first = k.mulI(k.begin(), kFlatBlock);
  Value last = k.minI(k.mulI(k.end(), kFlatBlock), count);
  // Blocks are whole numbers of steps: only the last one has a rest, whatever
  // the chunk.
  Value rest = k.remI(k.subI(last, first), k.i64(step));
  Value middle = k.subI(last, rest);
  k.forLoop(first, middle, step, [&](Value at) {
    eval.scope([&] {
      for (int64_t u = 0; u < step; u += kLanes)
        compute({at, u, 0, 0}, kLanes);
    });
  });
  k.forLoop(middle, last, 1,
            [&](Value at) { eval.scope([&] { compute({at, 0, 0, 0}, 0); }); });

  int64_t bytes = 0;
  auto add = [&](Type other) {
    auto tensor = cast<RankedTensorType>(other);
    if (tensor.getShape() == type.getShape())
      bytes += tensor.getElementType().getIntOrFloatBitWidth() / 8 * kFlatBlock;
  };
  llvm::for_each(kernel.getArgumentTypes(), add);
  llvm::for_each(kernel.getResultTypes(), add);
  AffineMap units =
      isDynamic
          ? rowUnits(k.b.getContext(), size, kFlatBlock)
          : constantUnits(k.b.getContext(), llvm::divideCeil(size, kFlatBlock));
  return {{k.task(units, grainFor(bytes))}, 0};
}

//===----------------------------------------------------------------------===//
// Row by row
//===----------------------------------------------------------------------===//

namespace {
class RowKernel {
public:
  RowKernel(kernel::FuncOp kernel, KernelBuilder &k)
      : kernel(kernel), k(k), eval(k, kernel),
        roots(returnOf(kernel).getOperands()), unroll(unrollFor(kernel)) {}

  LogicalResult analyze() { return form.analyze(kernel); }
  void emit();

  /// The dimensions before the columns.
  ArrayRef<int64_t> rowShape() const { return form.rows; }

private:
  using Group = RowForm::Group;
  using Indices = SmallVector<Value, 3>;

  void emitRows(ArrayRef<Indices> rows);
  void emitGroup(const Group &group, ArrayRef<Indices> rows);
  void emitSegments(const Group &group, int64_t first, int64_t count,
                    ArrayRef<Indices> rows);
  /// Rows to compute side by side: they share the loads of weights, and one's
  /// reduction fills the wait for the other's square root.
  int64_t rowsAtOnce();
  Value resultRow(unsigned result, ArrayRef<Value> index) {
    RankedTensorType type = tensorOf(roots[result]);
    return k.pointerAt(k.result(result), type.getElementType(),
                       eval.rowOffset(type, index));
  }

  kernel::FuncOp kernel;
  KernelBuilder &k;
  RowLoops eval;
  ValueRange roots;
  int64_t unroll;
  RowForm form;
};
} // namespace

void RowKernel::emitSegments(const Group &group, int64_t first, int64_t count,
                             ArrayRef<Indices> indices) {
  // What of which row to store, and where the row begins.
  struct Store {
    unsigned result;
    const Indices *index;
    int64_t edge;
    Value row;
  };
  SmallVector<Store> stores;
  for (const Indices &index : indices)
    for (unsigned result : group.results) {
      if (eval.isStored(roots[result], index))
        continue;
      Value row = resultRow(result, index);
      for (int64_t s = first; s < first + count; ++s)
        stores.push_back({result, &index, group.edges[s], row});
    }
  if (stores.empty())
    return;
  int64_t width = group.edges[first + 1] - group.edges[first];
  int64_t pieces = std::max<int64_t>(
      1, unroll / (count * static_cast<int64_t>(indices.size())));
  eval.forColumns(width, pieces, [&](Column column, int64_t lanes) {
    SmallVector<Value> values;
    for (const Store &store : stores)
      values.push_back(eval.lanes(roots[store.result], *store.index,
                                  column.shifted(store.edge), lanes));
    for (auto [store, value] : llvm::zip(stores, values)) {
      Value place = store.row;
      if (column.variable)
        place = k.pointerAt(place, k.elementType(value), column.variable);
      k.store(value, place, k.i64(column.offset + store.edge));
    }
  });
}

void RowKernel::emitGroup(const Group &group, ArrayRef<Indices> indices) {
  if (group.isUniform())
    return emitSegments(group, 0, group.segments(), indices);
  for (int64_t s = 0; s < group.segments(); ++s)
    emitSegments(group, s, 1, indices);
}

void RowKernel::emitRows(ArrayRef<Indices> indices) {
  // What is per row first: its loads must not follow a store in place.
  SmallVector<Value> numbers;
  for (const Indices &index : indices) {
    for (unsigned result : form.perRow)
      numbers.push_back(eval.scalar(roots[result], index));
    for (const Group &group : form.groups)
      for (unsigned result : group.results)
        eval.hoist(roots[result], index);
  }
  for (const Group &group : form.groups)
    emitGroup(group, indices);
  auto number = numbers.begin();
  for (const Indices &index : indices)
    for (unsigned result : form.perRow)
      k.store(*number++, resultRow(result, index));
}

int64_t RowKernel::rowsAtOnce() {
  auto &body = kernel.getBody().front();
  bool reduces = !body.getOps<kernel::ReduceOp>().empty();
  if (!reduces || unroll < 2)
    return 1;
  // Short rows (heads) wait longer for each other's reductions.
  bool isShort = llvm::all_of(form.groups, [](const Group &group) {
    return group.width <= 16 * kLanes;
  });
  return isShort && form.rows.size() > 1 && form.rows.back() % 4 == 0 ? 4 : 2;
}

void RowKernel::emit() {
  bool hasInPlace = false;
  for (unsigned i = 0, e = roots.size(); i != e; ++i)
    hasInPlace |= kernel.getInplaceArgument(i) >= 0;
  if (!hasInPlace)
    for (const Group &group : form.groups)
      for (unsigned result : group.results)
        if (roots[result].getDefiningOp())
          eval.storeEarly(roots[result], result);

  Indices index;
  if (form.rows.empty()) {
    // One unit; an empty chunk does nothing.
    k.ifThen(k.cmpI(arith::CmpIPredicate::slt, k.begin(), k.end()),
             [&] { emitRows({index}); });
    return;
  }
  int64_t atOnce = rowsAtOnce();
  // The rows first, first + 1, ... of the innermost dimension.
  auto emitBlock = [&](Value first, int64_t count) {
    eval.scope([&] {
      SmallVector<Indices> block;
      for (int64_t i = 0; i < count; ++i) {
        block.push_back(index);
        block.back().push_back(k.addI(first, i));
      }
      emitRows(block);
    });
  };
  std::function<void(size_t)> nest = [&](size_t dim) {
    Value lower = dim == 0 ? k.begin() : k.i64(0);
    Value upper = dim == 0 ? k.end() : k.i64(form.rows[dim]);
    if (dim + 1 < form.rows.size())
      return k.forLoop(lower, upper, 1, [&](Value i) {
        eval.scope([&] {
          index.push_back(i);
          nest(dim + 1);
          index.pop_back();
        });
      });
    if (dim > 0 && form.rows[dim] % atOnce != 0)
      atOnce = 1;
    Value middle = upper;
    if (dim == 0 && atOnce > 1)
      middle = k.subI(upper, k.remI(k.subI(upper, lower), k.i64(atOnce)));
    k.forLoop(lower, middle, atOnce, [&](Value i) { emitBlock(i, atOnce); });
    if (middle != upper)
      k.forLoop(middle, upper, 1, [&](Value i) { emitBlock(i, 1); });
  };
  nest(0);
}

FailureOr<KernelCode> cpu::emitRowwise(kernel::FuncOp kernel,
                                       const CpuTarget &target,
                                       ModuleOp module) {
  if (failed(checkBody(kernel)))
    return failure();
  if (isFlat(returnOf(kernel).getOperands()))
    return emitFlat(kernel, target, module);
  KernelBuilder k(kernel, 0, target, module);
  RowKernel rowKernel(kernel, k);
  if (failed(rowKernel.analyze()))
    return failure();
  rowKernel.emit();
  ArrayRef<int64_t> rows = rowKernel.rowShape();
  MLIRContext *context = kernel.getContext();
  if (rows.empty())
    return KernelCode{{k.task(constantUnits(context, 1), 1)}, 0};
  AffineMap units = ShapedType::isDynamic(rows.front())
                        ? rowUnits(context)
                        : constantUnits(context, rows.front());
  int64_t grain = grainFor(rowBytes(kernel, rows.front()));
  return KernelCode{{k.task(units, grain)}, 0};
}

int64_t cpu::workspaceRowwise(kernel::FuncOp, const CpuTarget &, int64_t) {
  return 0;
}
