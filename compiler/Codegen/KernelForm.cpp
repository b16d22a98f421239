//===- KernelForm.cpp - What a kernel is built around ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/KernelForm.h"

#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

SmallVector<kernel::ReduceOp> codegen::totalsOf(kernel::FuncOp kernel) {
  SmallVector<kernel::ReduceOp> ops;
  for (auto op : kernel.getBody().front().getOps<kernel::ReduceOp>())
    if (cast<RankedTensorType>(op.getType()).getRank() == 0)
      ops.push_back(op);
  return ops;
}

static bool reducesRows(kernel::ReduceOp op) {
  int64_t rank = cast<RankedTensorType>(op.getOperand().getType()).getRank();
  return rank > 1 && op.getKind() == kernel::ReductionKind::Add &&
         op.getDims() ==
             ArrayRef(llvm::to_vector(llvm::seq<int64_t>(0, rank - 1)));
}

SmallVector<kernel::ReduceOp> codegen::columnSumsOf(kernel::FuncOp kernel) {
  SmallVector<kernel::ReduceOp> ops;
  for (auto op : kernel.getBody().front().getOps<kernel::ReduceOp>())
    if (reducesRows(op))
      ops.push_back(op);
  return ops;
}

bool codegen::roundsTo16Bits(kernel::FuncOp kernel) {
  return llvm::any_of(kernel.getResultTypes(), [](Type type) {
    Type element = cast<RankedTensorType>(type).getElementType();
    return isa<FloatType>(element) && element.getIntOrFloatBitWidth() == 16;
  });
}

void codegen::forEachKernel(ModuleOp module,
                            function_ref<void(kernel::FuncOp, int64_t)> visit) {
  SymbolTable symbols(module);
  DenseMap<Operation *, int64_t> maxRows;
  for (auto func : module.getOps<func::FuncOp>()) {
    int64_t batch = entry::maxExtent(func, "batch"),
            sequence = entry::maxExtent(func, "sequence");
    func.walk([&](kernel::LaunchOp launch) {
      int64_t &rows = maxRows[symbols.lookup(launch.getCallee())];
      rows =
          std::max(rows, launch.getUnitSequence() ? batch : batch * sequence);
    });
  }
  for (auto kernel : module.getOps<kernel::FuncOp>())
    visit(kernel, maxRows.lookup(kernel));
}
