//===- PackCollectives.cpp - Collectives on ranges of memory --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"
#include "dialects/Dist/DistDialect.h"

namespace qwen {
#define GEN_PASS_DEF_PACKCOLLECTIVES
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {
struct PackCollectives
    : public qwen::impl::PackCollectivesBase<PackCollectives> {
  void runOnOperation() override;
};
} // namespace

/// Whether blocks along `dim` are not ranges of memory.
static bool isStrided(Value value, int64_t dim) {
  auto shape = cast<RankedTensorType>(value.getType()).getShape();
  return llvm::any_of(shape.take_front(dim),
                      [](int64_t size) { return size != 1; });
}

static int64_t fromEnd(Value value, int64_t dim) {
  return cast<RankedTensorType>(value.getType()).getRank() - 1 - dim;
}

static void packOperand(Operation *op, int64_t dim, int64_t parts) {
  Value operand = op->getOperand(0);
  if (!isStrided(operand, dim))
    return;
  OpBuilder b(op);
  op->setOperand(0, PackOp::create(b, op->getLoc(), operand.getType(), operand,
                                   Value(), fromEnd(operand, dim), parts));
}

static void unpackResult(Operation *op, int64_t dim, int64_t parts) {
  Value result = op->getResult(0);
  if (!isStrided(result, dim))
    return;
  OpBuilder b(op->getContext());
  b.setInsertionPointAfter(op);
  auto unpack = UnpackOp::create(b, op->getLoc(), result.getType(), result,
                                 fromEnd(result, dim), parts);
  result.replaceAllUsesExcept(unpack.getResult(), unpack);
}

void PackCollectives::runOnOperation() {
  FailureOr<Mesh> found = getMesh(getOperation());
  if (failed(found))
    return signalPassFailure();
  SubAxes mesh = subAxesOf(*found);
  SmallVector<Operation *> ops;
  getOperation().walk([&](Operation *op) {
    if (isCollective(op))
      ops.push_back(op);
  });
  for (Operation *op : ops) {
    int64_t parts = numParts(axesOf(op), mesh);
    if (auto gather = dyn_cast<AllGatherOp>(op)) {
      gather.setPacked(true);
      unpackResult(op, gather.getDim(), parts);
    } else if (auto scatter = dyn_cast<ReduceScatterOp>(op)) {
      scatter.setPacked(true);
      packOperand(op, scatter.getDim(), parts);
    } else if (auto exchange = dyn_cast<AllToAllOp>(op)) {
      exchange.setPacked(true);
      packOperand(op, exchange.getSplit(), parts);
      unpackResult(op, exchange.getDim(), parts);
    }
  }
}
