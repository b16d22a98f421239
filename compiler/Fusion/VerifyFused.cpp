//===- VerifyFused.cpp - Check that all compute is inside kernels ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Fusion/Passes.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Kernel/KernelDialect.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {
#define GEN_PASS_DEF_VERIFYFUSED
#include "compiler/Fusion/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
struct VerifyFused : public qwen::impl::VerifyFusedBase<VerifyFused> {
  void runOnOperation() override {
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      if (!func->hasAttr(entry::kEntry))
        continue;
      WalkResult result = func.walk([](Operation *op) {
        if (isa<func::FuncOp, func::ReturnOp, LayersOp, YieldOp, GetParamOp,
                ReshapeOp, kernel::LaunchOp>(op) ||
            dist::isCollective(op) || op->hasTrait<OpTrait::ConstantLike>())
          return WalkResult::advance();
        op->emitOpError("is outside of a kernel after the fuse phase");
        return WalkResult::interrupt();
      });
      if (result.wasInterrupted())
        return signalPassFailure();
    }
  }
};
} // namespace
