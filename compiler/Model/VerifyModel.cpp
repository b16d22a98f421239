//===- VerifyModel.cpp - What is true after `import` and `model` ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Model/Passes.h"
#include "dialects/Dist/HeadOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {
#define GEN_PASS_DEF_VERIFYIMPORT
#define GEN_PASS_DEF_VERIFYMODEL
#include "compiler/Model/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

/// Functions hold qwen ops only, and the padding of heads for a mesh.
static LogicalResult verifyDialects(ModuleOp module) {
  WalkResult result = module.walk([](Operation *op) {
    if (isa<ModuleOp, func::FuncOp, func::ReturnOp, dist::PadGroupsOp>(op) ||
        isa_and_nonnull<QwenDialect>(op->getDialect()))
      return WalkResult::advance();
    op->emitError("expected only qwen ops in a model, got ") << op->getName();
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

static LogicalResult verifyLocations(ModuleOp module) {
  WalkResult result = module.walk([](Operation *op) {
    if (isa<ModuleOp, func::ReturnOp, YieldOp>(op) ||
        op->getLoc()->findInstanceOf<FileLineColRange>())
      return WalkResult::advance();
    op->emitError("expected a place in the model file for ") << op->getName();
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

static LogicalResult verifyParameters(ModuleOp module) {
  uint64_t index = 0;
  for (ParamOp param : module.getOps<ParamOp>())
    if (param.getIndex() != index++)
      return param.emitOpError("expected index ")
             << index - 1 << " in the order of parameters, got "
             << param.getIndex();
  // A storage for each type that is read; the manifest knows two.
  DenseMap<StringRef, Type> computeTypes;
  WalkResult result = module.walk([&](GetParamOp read) {
    Type type = cast<RankedTensorType>(read.getType()).getElementType();
    if (read.getStorage() || type.isF32() || type.isF64())
      return WalkResult::advance();
    auto [it, isNew] = computeTypes.try_emplace(read.getParam(), type);
    if (isNew || it->second == type)
      return WalkResult::advance();
    read.emitOpError("parameter ")
        << read.getParam() << " is read in two compute types: " << it->second
        << " and " << type;
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

namespace {
struct VerifyImport : qwen::impl::VerifyImportBase<VerifyImport> {
  void runOnOperation() override {
    if (failed(verifyDialects(getOperation())) ||
        failed(verifyLocations(getOperation())))
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};

struct VerifyModel : qwen::impl::VerifyModelBase<VerifyModel> {
  void runOnOperation() override {
    if (failed(verifyDialects(getOperation())) ||
        failed(verifyParameters(getOperation())))
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
