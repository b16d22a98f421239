//===- FormLinearCrossEntropy.cpp - A head and its loss in one op ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Model/Passes.h"

#include "mlir/IR/Remarks.h"

namespace qwen {
#define GEN_PASS_DEF_FORMLINEARCROSSENTROPY
#include "compiler/Model/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
struct FormLinearCrossEntropy
    : qwen::impl::FormLinearCrossEntropyBase<FormLinearCrossEntropy> {
  void runOnOperation() override {
    SmallVector<CrossEntropyOp> losses;
    getOperation().walk([&](CrossEntropyOp op) { losses.push_back(op); });
    for (CrossEntropyOp loss : losses)
      form(loss);
  }

  void form(CrossEntropyOp loss) {
    auto softcap = loss.getLogits().getDefiningOp<SoftcapOp>();
    Value logits = softcap ? softcap.getX() : loss.getLogits();
    auto linear = logits.getDefiningOp<LinearOp>();
    auto keep = [&](const char *why) {
      remark::missed(
          loss.getLoc(),
          remark::RemarkOpts::name("linear-cross-entropy").category("model"))
          << remark::reason("{0}", why);
    };
    if (!linear)
      return keep("the logits are not the result of a linear op");
    if (linear.getBias())
      return keep("the head has a bias");
    auto isWide = [](Value value) {
      return cast<RankedTensorType>(value.getType()).getElementTypeBitWidth() >=
             32;
    };
    if (!isWide(logits) || !isWide(loss.getLogits()))
      return keep("the logits are rounded to a narrower type");

    OpBuilder builder(loss);
    Location loc = builder.getFusedLoc({linear.getLoc(), loss.getLoc()});
    auto formed = LinearCrossEntropyOp::create(
        builder, loc, loss.getResultTypes(), linear.getX(), linear.getWeight(),
        loss.getTargets(), softcap ? softcap.getCap() : APFloat(0.0),
        loss.getZWeight());
    loss.replaceAllUsesWith(formed.getResults());
    loss.erase();
    if (softcap && softcap->use_empty())
      softcap.erase();
    if (linear->use_empty())
      linear.erase();
    ++numFormed;
  }
};
} // namespace
