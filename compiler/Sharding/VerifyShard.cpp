//===- VerifyShard.cpp - What is true after `shard` -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Annotations.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"

namespace qwen {
#define GEN_PASS_DEF_VERIFYSHARD
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {
struct VerifyShard : qwen::impl::VerifyShardBase<VerifyShard> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    FailureOr<Mesh> mesh = getMesh(module);
    if (failed(mesh))
      return signalPassFailure();
    int64_t axes = subAxesOf(*mesh).size();
    WalkResult result = module.walk([&](Operation *op) {
      if (isa<ReshardOp>(op) || op->hasAttr(kOperandsAttr)) {
        op->emitError("expected local shapes, got a tensor of the whole mesh");
        return WalkResult::interrupt();
      }
      if (op->getName().getDialectNamespace() == "dist" && axes == 0) {
        op->emitError("expected no collective on a mesh of one device, got ")
            << op->getName();
        return WalkResult::interrupt();
      }
      if (!isCollective(op))
        return WalkResult::advance();
      for (int64_t axis : axesOf(op))
        if (axis < 0 || axis >= axes) {
          op->emitError("expected sub-axes below ") << axes << ", got " << axis;
          return WalkResult::interrupt();
        }
      // Loops are entered by all devices alike; nothing else has a body.
      if (!isa<LayersOp>(op->getParentOp()) &&
          !isa<FunctionOpInterface>(op->getParentOp())) {
        op->emitError("expected a collective in an entry or its layers");
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
