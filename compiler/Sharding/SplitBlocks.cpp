//===- SplitBlocks.cpp - Take ops apart whose sums go over devices --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Annotations.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"
#include "dialects/Dist/HeadOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {
#define GEN_PASS_DEF_SPLITBLOCKS
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {
/// The logits of a head, and what the loss is made of.
struct LossParts {
  Value logits, capped; // f32; capped is logits without a softcap
  Value max, sum, target;
};

struct SplitBlocks : public qwen::impl::SplitBlocksBase<SplitBlocks> {
  void runOnOperation() override;
  /// Whether dimension `dim` of a parameter is split.
  bool isSplit(Value weight, unsigned dim);
};
} // namespace

bool SplitBlocks::isSplit(Value weight, unsigned dim) {
  // Weights with padded heads are split further than their parameters.
  if (auto pad = weight.getDefiningOp<PadGroupsOp>()) {
    if (pad.position() == dim && pad->hasAttr(kGroupAxesAttr))
      return true;
    weight = pad.getOperand();
  }
  auto param = weight.getDefiningOp<GetParamOp>();
  if (!param)
    return false;
  auto op = getOperation().lookupSymbol<ParamOp>(param.getParam());
  auto sharding = op->getAttrOfType<ShardingAttr>(kComputeAttr);
  return sharding && !sharding.getSharding().dims[dim].empty();
}

static RankedTensorType withElement(Type type, Type element) {
  return RankedTensorType::get(cast<RankedTensorType>(type).getShape(),
                               element);
}

/// The computing type: f32, or f64 in modules of tests.
static Type computeType(Value value) {
  Type element = cast<RankedTensorType>(value.getType()).getElementType();
  return element.isF64() ? element : Type(Float32Type::get(value.getContext()));
}

static LossParts buildParts(OpBuilder &b, Location loc, Value x, Value weight,
                            Value targets, const APFloat &cap) {
  LossParts parts;
  Type element = computeType(x);
  auto rows = withElement(targets.getType(), element);
  SmallVector<int64_t> shape(rows.getShape());
  shape.push_back(cast<RankedTensorType>(weight.getType()).getDimSize(0));
  auto type = RankedTensorType::get(shape, element);
  parts.logits = LinearOp::create(b, loc, type, x, weight, Value());
  parts.capped = parts.logits;
  if (!cap.isZero())
    parts.capped = SoftcapOp::create(b, loc, type, parts.logits,
                                     b.getF64FloatAttr(cap.convertToDouble()));
  parts.max = RowMaxOp::create(b, loc, rows, parts.capped);
  parts.sum = RowSumExpOp::create(b, loc, rows, parts.capped, parts.max);
  parts.target = TargetLogitOp::create(b, loc, rows, parts.capped, targets);
  return parts;
}

static int64_t vocabOf(Value weight) {
  return cast<RankedTensorType>(weight.getType()).getDimSize(0);
}

static void split(LinearCrossEntropyOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value targets = op.getTargets();
  LossParts parts =
      buildParts(b, loc, op.getX(), op.getWeight(), targets, op.getCap());
  IntegerAttr vocab = b.getI64IntegerAttr(vocabOf(op.getWeight()));
  FloatAttr zWeight = op.getZWeightAttr();
  Value loss =
      TokenLossOp::create(b, loc, op.getLoss().getType(), parts.max, parts.sum,
                          parts.target, targets, vocab, zWeight);
  Value better = BetterLogitsOp::create(b, loc, parts.max.getType(),
                                        parts.capped, parts.target, targets);
  auto counts =
      TokenCountsOp::create(b, loc, op.getCount().getType(),
                            op.getCorrect().getType(), better, targets, vocab);
  op->replaceAllUsesWith(
      ValueRange{loss, counts.getCount(), counts.getCorrect()});
  op.erase();
}

static void split(LinearCrossEntropyGradOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value x = op.getX(), weight = op.getWeight(), targets = op.getTargets();
  LossParts parts = buildParts(b, loc, x, weight, targets, op.getCap());
  IntegerAttr vocab = b.getI64IntegerAttr(vocabOf(weight));
  FloatAttr zWeight = op.getZWeightAttr();
  Value loss =
      TokenLossOp::create(b, loc, op.getLoss().getType(), parts.max, parts.sum,
                          parts.target, targets, vocab, zWeight);
  Value weights = TokenWeightsOp::create(b, loc, parts.max.getType(), targets,
                                         op.getSeed(), vocab);
  // dz is rounded once, to the type of x.
  auto rounded =
      withElement(parts.logits.getType(),
                  cast<RankedTensorType>(x.getType()).getElementType());
  bool isCapped = parts.capped != parts.logits;
  Value dz = TokenLossGradOp::create(
      b, loc, isCapped ? parts.logits.getType() : Type(rounded), parts.capped,
      targets, parts.max, parts.sum, weights, zWeight);
  if (isCapped)
    dz = SoftcapGradOp::create(b, loc, rounded, dz, parts.logits,
                               op.getCapAttr());
  Value dx =
      LinearInputGradOp::create(b, loc, op.getDx().getType(), dz, weight);
  Value dw = LinearWeightGradOp::create(b, loc, op.getResult().getType(), dz, x,
                                        op.getAcc());
  op->replaceAllUsesWith(ValueRange{loss, dx, dw});
  op.erase();
}

/// The bias is added once, behind the sum over devices.
template <typename Linear> static void splitBias(Linear op) {
  OpBuilder b(op);
  auto product = cast<Linear>(b.clone(*op));
  product.getBiasMutable().clear();
  Value sum =
      BiasAddOp::create(b, op.getLoc(), op.getType(), product, op.getBias());
  op.replaceAllUsesWith(sum);
  op.erase();
}

void SplitBlocks::runOnOperation() {
  SmallVector<Operation *> ops;
  getOperation().walk([&](Operation *op) { ops.push_back(op); });
  for (Operation *op : ops) {
    if (auto loss = dyn_cast<LinearCrossEntropyOp>(op)) {
      if (isSplit(loss.getWeight(), 0))
        split(loss);
    } else if (auto grad = dyn_cast<LinearCrossEntropyGradOp>(op)) {
      if (isSplit(grad.getWeight(), 0))
        split(grad);
    } else if (auto linear = dyn_cast<LinearOp>(op)) {
      if (linear.getBias() && isSplit(linear.getWeight(), 1))
        splitBias(linear);
    } else if (auto quantized = dyn_cast<QuantizedLinearOp>(op)) {
      if (quantized.getBias() && isSplit(quantized.getWeight(), 1))
        splitBias(quantized);
    }
  }
}
