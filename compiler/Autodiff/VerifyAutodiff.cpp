//===- VerifyAutodiff.cpp - Check the training entries --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Autodiff/Passes.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {
#define GEN_PASS_DEF_VERIFYAUTODIFF
#include "compiler/Autodiff/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
struct VerifyAutodiff : public qwen::impl::VerifyAutodiffBase<VerifyAutodiff> {
  void runOnOperation() override {
    auto step = getOperation().lookupSymbol<func::FuncOp>("micro_step");
    auto optimizer =
        getOperation().lookupSymbol<func::FuncOp>("optimizer_step");
    if (!step)
      return;
    if (!optimizer) {
      step.emitError("the module has a training step and no optimizer step");
      return signalPassFailure();
    }
    for (auto param : getOperation().getOps<ParamOp>())
      for (func::FuncOp func : {step, optimizer})
        if (!changes(func, param.getSymNameAttr())) {
          param.emitOpError("parameter ")
              << param.getSymName() << " is not changed by "
              << func.getSymName();
          return signalPassFailure();
        }
  }

  /// True if `func` returns a new state of `param`'s gradient.
  static bool changes(func::FuncOp func, StringAttr param) {
    Operation *ret = func.getBody().front().getTerminator();
    for (unsigned i = 0; i < func.getNumResults(); ++i) {
      auto symbol =
          func.getResultAttrOfType<FlatSymbolRefAttr>(i, entry::kParam);
      auto role = func.getResultAttrOfType<StringAttr>(i, entry::kRole);
      if (symbol && symbol.getAttr() == param &&
          role.getValue() == entry::kGradient)
        return !isa<BlockArgument>(ret->getOperand(i));
    }
    return false;
  }
};
} // namespace
