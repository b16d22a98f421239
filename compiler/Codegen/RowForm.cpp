//===- RowForm.cpp - The rows and columns of a row-wise kernel ------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/RowForm.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

LogicalResult RowForm::analyze(kernel::FuncOp kernel) {
  ValueRange roots = returnOf(kernel).getOperands();
  // The shape with the most dimensions, among results and what is reduced.
  ArrayRef<int64_t> shape;
  auto consider = [&](Value value) {
    if (tensorOf(value).getRank() > static_cast<int64_t>(shape.size()))
      shape = tensorOf(value).getShape();
  };
  llvm::for_each(roots, consider);
  for (auto op : kernel.getBody().front().getOps<kernel::ReduceOp>()) {
    RankedTensorType type = tensorOf(op.getOperand());
    if (op.getDims() != ArrayRef<int64_t>{type.getRank() - 1})
      return op.emitError("a row-wise kernel reduces the last dimension only");
    consider(op.getOperand());
  }
  if (shape.empty()) {
    perRow = llvm::to_vector(llvm::seq<unsigned>(0, roots.size()));
    return success();
  }
  rows.assign(shape.begin(), shape.end() - 1);
  for (int64_t size : ArrayRef(rows).drop_front(rows.empty() ? 0 : 1))
    if (ShapedType::isDynamic(size))
      return kernel.emitError("only the leading dimension of a row-wise kernel "
                              "can be dynamic");
  for (auto [i, root] : llvm::enumerate(roots)) {
    ArrayRef<int64_t> own = tensorOf(root).getShape();
    if (own == ArrayRef(rows)) {
      perRow.push_back(i);
      continue;
    }
    if (own.empty() || own.drop_back() != ArrayRef(rows))
      return kernel.emitError("result ")
             << i
             << " does not have the rows of the kernel: " << root.getType();
    Group *group = llvm::find_if(
        groups, [&](Group &other) { return other.width == own.back(); });
    if (group == groups.end())
      group = &groups.emplace_back(Group{own.back(), {}, {0, own.back()}});
    group->results.push_back(i);
    group->edges.append(RowEval::breaks(root));
    llvm::sort(group->edges);
    group->edges.erase(llvm::unique(group->edges), group->edges.end());
  }
  return checkInPlace(kernel);
}

LogicalResult RowForm::checkInPlace(kernel::FuncOp kernel) {
  // Columns are read before they are written if all is one pass, every read is
  // at the place of the write or in another segment of the same iteration.
  bool isOnePass =
      groups.empty() || (groups.size() == 1 && groups.front().isUniform());
  for (unsigned i = 0, e = kernel.getNumResults(); i != e; ++i) {
    int argument = kernel.getInplaceArgument(i);
    if (argument < 0)
      continue;
    if (!isOnePass)
      return kernel.emitError("result ")
             << i << " cannot share memory with argument " << argument
             << ": the kernel makes several passes over a row";
    for (auto slice : kernel.getBody().front().getOps<kernel::SliceOp>())
      if (!groups.empty() && slice.getBegin() % groups.front().edges[1] != 0)
        return slice.emitError("a slice at a column where no segment begins, "
                               "in a kernel with results in place");
    for (auto gather : kernel.getBody().front().getOps<kernel::GatherOp>())
      if (gather.getTable() == kernel.getBody().getArgument(argument))
        return gather.emitError("the table of a gather is a result in place");
  }
  return success();
}
