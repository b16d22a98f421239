//===- RowThreads.cpp - Threads that share a row --------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/RowThreads.h"

#include <limits>
#include <numeric>

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using kernel::ReductionKind;

/// Elements of a row that a thread holds: of rows wider than a warp can share
/// at 32, and of shorter ones.
static constexpr int64_t kWideElements = 32, kShortElements = 16;
/// Threads of a block whose rows need less.
static constexpr int64_t kBlockThreads = 128;
static constexpr int64_t kMaxThreads = 1024;
/// Stretches of a row that are unrolled.
static constexpr int64_t kMaxPieces = 16;

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

int64_t nvidia::lanesFor(kernel::FuncOp kernel, ArrayRef<int64_t> rows,
                         ArrayRef<int64_t> edges) {
  int64_t narrowest = sizeof(float), common = 0;
  // Every row of a tensor begins at a multiple of its width.
  auto consider = [&](Type type) {
    auto tensor = cast<RankedTensorType>(type);
    ArrayRef<int64_t> shape = tensor.getShape();
    // One number a row is no column.
    if (shape.empty() || shape == rows || ShapedType::isDynamic(shape.back()))
      return;
    common = std::gcd(common, shape.back());
    narrowest = std::min<int64_t>(narrowest, elementBytes(tensor));
  };
  for (Value argument : kernel.getArguments())
    if (!llvm::all_of(argument.getUsers(), [](Operation *user) {
          return isa<kernel::ElementOp>(user);
        }))
      consider(argument.getType());
  llvm::for_each(kernel.getResultTypes(), consider);
  for (int64_t edge : edges)
    common = std::gcd(common, edge);
  for (auto slice : kernel.getBody().front().getOps<kernel::SliceOp>())
    common = std::gcd(common, static_cast<int64_t>(slice.getBegin()));
  int64_t lanes = kAccessBytes / narrowest;
  while (lanes > 1 && common % lanes != 0)
    lanes /= 2;
  return lanes;
}

int64_t nvidia::flatLanes(ArrayRef<Type> tensors) {
  int64_t lanes = kAccessBytes;
  for (Type type : tensors)
    if (cast<RankedTensorType>(type).getRank() > 0)
      lanes = std::min<int64_t>(lanes, kAccessBytes / elementBytes(type));
  for (Type type : tensors)
    if (auto tensor = cast<RankedTensorType>(type);
        tensor.getRank() > 0 && tensor.hasStaticShape())
      while (tensor.getNumElements() % lanes != 0)
        lanes /= 2;
  return lanes;
}

FailureOr<RowLayout> nvidia::layoutOf(kernel::FuncOp kernel,
                                      const RowForm &form) {
  // All places where a segment of columns begins or ends, and the widest row.
  SmallVector<int64_t> edges;
  int64_t width = 0, segment = 0;
  for (const RowForm::Group &group : form.groups) {
    edges.append(group.edges);
    width = std::max(width, group.width);
    for (int64_t i = 0; i < group.segments(); ++i)
      segment = std::max(segment, group.edges[i + 1] - group.edges[i]);
  }
  for (auto op : kernel.getBody().front().getOps<kernel::ReduceOp>()) {
    edges.append(RowEval::breaks(op.getOperand()));
    int64_t columns = tensorOf(op.getOperand()).getShape().back();
    edges.push_back(columns);
    width = std::max(width, columns);
    if (form.groups.empty())
      segment = std::max(segment, columns);
  }
  RowLayout layout;
  if (width == 0)
    return layout;
  layout.lanes = lanesFor(kernel, form.rows, edges);
  auto threadsFor = [&](int64_t elements) -> int64_t {
    return llvm::bit_ceil(
        static_cast<uint64_t>(llvm::divideCeil(width, elements)));
  };
  int64_t most = llvm::bit_ceil(static_cast<uint64_t>(
      llvm::divideCeil(std::max<int64_t>(segment, 1), layout.lanes)));
  layout.group = std::max(threadsFor(kWideElements),
                          std::min<int64_t>(kWarp, threadsFor(kShortElements)));
  layout.group = std::min({layout.group, most, kMaxThreads});
  layout.block = std::max(layout.group, kBlockThreads);
  // Beyond a warp a block has one row: its threads meet in shared memory.
  if (layout.group > kWarp)
    layout.block = layout.group;
  if (llvm::divideCeil(width, layout.group * layout.lanes) > kMaxPieces)
    return kernel.emitError("rows of ")
           << width << " columns are too wide for a row-wise kernel of a GPU";
  return layout;
}

void RowThreads::setLayout(const RowLayout &rowLayout, const RowForm &rowForm) {
  layout = rowLayout;
  form = &rowForm;
  rowThread = k.remI(k.thread(), k.i64(layout.group));
  firstColumn = k.mulI(rowThread, layout.lanes);
}

const SmallVector<RowThreads::Piece> &RowThreads::pieces(int64_t width) {
  auto [it, isNew] = known.try_emplace(width);
  if (!isNew)
    return it->second;
  int64_t stretch = layout.group * layout.lanes;
  for (int64_t begin = 0; begin < width; begin += stretch) {
    if (begin + stretch <= width) {
      it->second.push_back({{firstColumn, begin, 0, width}, {}});
      continue;
    }
    // Threads without columns take the first of the stretch again.
    Value inside =
        k.cmpI(arith::CmpIPredicate::slt, firstColumn, k.i64(width - begin));
    Value column = k.select(inside, firstColumn, k.i64(0));
    it->second.push_back({{column, begin, 0, width}, inside});
  }
  return it->second;
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

SmallVector<int64_t> RowThreads::edgesOf(ArrayRef<kernel::ReduceOp> ops) {
  int64_t width =
      tensorOf(kernel::ReduceOp(ops.front()).getOperand()).getShape().back();
  SmallVector<int64_t> edges{0, width};
  for (kernel::ReduceOp op : ops)
    edges.append(breaks(op.getOperand()));
  // The segments of the results, so that the same columns are used again.
  for (const RowForm::Group &group : form->groups)
    if (group.width == width)
      edges.append(group.edges);
  llvm::sort(edges);
  edges.erase(llvm::unique(edges), edges.end());
  return edges;
}

void RowThreads::reduce(kernel::ReduceOp op, Index index) {
  SmallVector<kernel::ReduceOp> ops = peersOf(op);
  for (kernel::ReduceOp other : ops)
    hoist(other.getOperand(), index);
  auto isMax = [&](unsigned i) {
    return kernel::ReduceOp(ops[i]).getKind() == ReductionKind::Max;
  };
  auto combine = [&](unsigned i, Value x, Value y) {
    return isMax(i) ? k.maximum(x, y) : k.add(x, y);
  };
  SmallVector<Value> sums;
  for (unsigned i = 0; i < ops.size(); ++i) {
    double neutral = isMax(i) ? -std::numeric_limits<double>::infinity() : 0;
    Type type =
        layout.lanes > 1 ? Type(k.vectorType(k.f32(), layout.lanes)) : k.f32();
    sums.push_back(k.constant(type, neutral));
  }
  int64_t lanes = layout.lanes > 1 ? layout.lanes : 0;
  SmallVector<int64_t> edges = edgesOf(ops);
  for (size_t s = 0; s + 1 < edges.size(); ++s)
    for (const Piece &piece : pieces(edges[s + 1] - edges[s]))
      for (auto [i, other] : llvm::enumerate(ops)) {
        Column column = piece.column.shifted(edges[s]);
        Value operand = other.getOperand(), next;
        // One rounding where the part is a product.
        auto product = operand.getDefiningOp<arith::MulFOp>();
        if (product && !isMax(i))
          next = k.fma(this->lanes(product.getLhs(), index, column, lanes),
                       this->lanes(product.getRhs(), index, column, lanes),
                       sums[i]);
        else
          next =
              combine(i, sums[i], this->lanes(operand, index, column, lanes));
        sums[i] = piece.inside ? k.select(piece.inside, next, sums[i]) : next;
      }
  for (auto [i, sum] : llvm::enumerate(sums))
    if (lanes)
      sum = isMax(i) ? k.maxLanes(sum) : k.sumLanes(sum);
  if (layout.group > kWarp)
    sums = k.combineBlock(sums, combine);
  else
    for (auto [i, sum] : llvm::enumerate(sums))
      sum = k.combineGroup(sum, layout.group, [&, i = i](Value x, Value y) {
        return combine(i, x, y);
      });
  for (auto [other, sum] : llvm::zip(ops, sums))
    define(other.getResult(), index, sum);
}
