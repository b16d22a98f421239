//===- VerifyMemory.cpp - Check the plan of an entry's arena --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Memory/Passes.h"
#include "dialects/Kernel/KernelDialect.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {
#define GEN_PASS_DEF_VERIFYMEMORY
#include "compiler/Memory/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
/// Within a launch, a result may overlap an operand only if the kernel says
/// that the two are one; every buffer lies inside of the arena.
struct VerifyMemory : public qwen::impl::VerifyMemoryBase<VerifyMemory> {
  void runOnOperation() override;
  LogicalResult verifyLaunch(kernel::LaunchOp launch, kernel::FuncOp callee,
                             int64_t arena);
};
} // namespace

LogicalResult VerifyMemory::verifyLaunch(kernel::LaunchOp launch,
                                         kernel::FuncOp callee, int64_t arena) {
  if (!launch.getBuffers())
    return launch.emitOpError("has no buffers after the memory phase");
  SmallVector<Value> values(launch.getOperands());
  llvm::append_range(values, launch.getResults());
  auto buffers =
      llvm::to_vector(launch.getBuffersAttr().getAsRange<kernel::BufferAttr>());
  if (buffers.size() != values.size())
    return launch.emitOpError("expected ")
           << values.size() << " buffers, got " << buffers.size();
  size_t numOperands = launch.getOperands().size();
  for (size_t i = 0; i < values.size(); ++i) {
    kernel::BufferAttr a = buffers[i];
    int64_t end = a.getOffset() + tensorBytes(values[i].getType());
    if (a.getSpace() == kernel::Space::Arena &&
        (a.getOffset() < 0 || end > arena))
      return launch.emitOpError("buffer ")
             << i << " ends at " << end << ", beyond the arena of " << arena;
    if (i < numOperands)
      continue;
    for (size_t j = 0; j < i; ++j) {
      kernel::BufferAttr b = buffers[j];
      bool same =
          static_cast<int>(j) == callee.getInplaceArgument(i - numOperands);
      if (same && a != b)
        return launch.emitOpError("result ")
               << i - numOperands << " is not in place of operand " << j;
      if (same || a.getSpace() != b.getSpace() || a.getIndex() != b.getIndex())
        continue;
      bool overlap =
          a.getSpace() == kernel::Space::Slot
              ? a == b
              : a.getOffset() <
                        b.getOffset() + tensorBytes(values[j].getType()) &&
                    b.getOffset() < end;
      if (overlap)
        return launch.emitOpError("result ")
               << i - numOperands << " overlaps buffer " << j;
    }
  }
  return success();
}

void VerifyMemory::runOnOperation() {
  SymbolTable symbols(getOperation());
  for (auto func : getOperation().getOps<func::FuncOp>()) {
    if (!func->hasAttr(entry::kEntry))
      continue;
    auto arena = func->getAttrOfType<DictionaryAttr>(kEntryArena);
    if (!arena) {
      func.emitError("entry ") << func.getSymName() << " has no arena";
      return signalPassFailure();
    }
    int64_t bytes = arena.getAs<IntegerAttr>("bytes").getInt();
    WalkResult result = func.walk([&](kernel::LaunchOp launch) {
      auto callee = symbols.lookup<kernel::FuncOp>(launch.getCallee());
      return WalkResult(verifyLaunch(launch, callee, bytes));
    });
    if (result.wasInterrupted())
      return signalPassFailure();
  }
}
