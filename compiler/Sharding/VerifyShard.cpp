//===- VerifyShard.cpp - What is true after `shard` -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"

namespace qwen {
#define GEN_PASS_DEF_VERIFYSHARD
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
struct VerifyShard : qwen::impl::VerifyShardBase<VerifyShard> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    FailureOr<Mesh> mesh = getMesh(module);
    if (failed(mesh))
      return signalPassFailure();
    int64_t devices = 1;
    for (const auto &[name, size] : *mesh)
      devices *= size;
    if (devices != 1) {
      module.emitError("expected local shapes for one device, got a mesh of ")
          << devices;
      return signalPassFailure();
    }
    WalkResult result = module.walk([](Operation *op) {
      if (op->getName().getDialectNamespace() != "dist")
        return WalkResult::advance();
      op->emitError("expected no collective on a mesh of one device, got ")
          << op->getName();
      return WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
