//===- QuantizeWeights.cpp - Read weights as small integers ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Model/Passes.h"

#include "dialects/Qwen/Storage.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"

namespace qwen {
#define GEN_PASS_DEF_QUANTIZEWEIGHTS
#include "compiler/Model/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
struct QuantizeWeights
    : public qwen::impl::QuantizeWeightsBase<QuantizeWeights> {
  using QuantizeWeightsBase::QuantizeWeightsBase;
  void runOnOperation() override;

private:
  void quantize(LinearOp op);
  void quantize(EmbeddingOp op);
  /// The parameter that `weight` is read from and that can have the form; null
  /// otherwise, and a remark says why.
  GetParamOp quantizable(Operation *op, Value weight);
  bool isTable(GetParamOp read);
};

/// Reads parts of a quantized form where `read` reads the matrix.
class PartReader {
public:
  PartReader(OpBuilder &b, GetParamOp read) : b(b), read(read) {}
  Value operator()(StringRef storage) {
    RankedTensorType type =
        storage::partType(cast<RankedTensorType>(read.getType()), storage);
    return GetParamOp::create(b, read.getLoc(), type, read.getParamAttr(),
                              b.getStringAttr(storage));
  }

private:
  OpBuilder &b;
  GetParamOp read;
};
} // namespace

static remark::RemarkOpts remarkOf(Operation *op) {
  return remark::RemarkOpts::name("quantize")
      .category("quantize-weights")
      .function(op->getName().getStringRef());
}

/// Rows of words: the embedding and the head, which lose most by rounding.
bool QuantizeWeights::isTable(GetParamOp read) {
  auto param = getOperation().lookupSymbol<ParamOp>(read.getParam());
  return !param.getAxes().empty() &&
         cast<StringAttr>(param.getAxes()[0]).getValue() == "vocab";
}

GetParamOp QuantizeWeights::quantizable(Operation *op, Value weight) {
  auto read = weight.getDefiningOp<GetParamOp>();
  auto type = cast<RankedTensorType>(weight.getType());
  if (read && !read.getStorage() && type.getRank() == 2)
    return read;
  remark::missed(op->getLoc(), remarkOf(op))
      << remark::reason("its weight is not a matrix read from a parameter");
  return {};
}

void QuantizeWeights::quantize(LinearOp op) {
  GetParamOp read = quantizable(op, op.getWeight());
  if (!read)
    return;
  auto type = cast<RankedTensorType>(read.getType());
  bool grouped = format == storage::kInt4 && !isTable(read) &&
                 type.getDimSize(1) % storage::kGroup == 0;
  OpBuilder b(op);
  PartReader part(b, read);
  Value weight = part(grouped ? storage::kInt4 : storage::kInt8);
  Value scale = part(grouped ? storage::kInt4Scale : storage::kInt8Scale);
  Value steps = grouped ? part(storage::kInt4Step) : Value();
  auto quantized =
      QuantizedLinearOp::create(b, op.getLoc(), op.getType(), op.getX(), weight,
                                scale, steps, op.getBias());
  remark::passed(op.getLoc(), remarkOf(op))
      << "reads " << read.getParam() << " as "
      << (grouped ? storage::kInt4 : storage::kInt8);
  op.replaceAllUsesWith(quantized.getResult());
  op.erase();
  ++numQuantized;
}

void QuantizeWeights::quantize(EmbeddingOp op) {
  GetParamOp read = quantizable(op, op.getTable());
  if (!read || !isTable(read))
    return;
  OpBuilder b(op);
  PartReader part(b, read);
  Value table = part(storage::kInt8), scale = part(storage::kInt8Scale);
  auto quantized = QuantizedEmbeddingOp::create(b, op.getLoc(), op.getType(),
                                                op.getIds(), table, scale);
  remark::passed(op.getLoc(), remarkOf(op))
      << "reads " << read.getParam() << " as " << storage::kInt8;
  op.replaceAllUsesWith(quantized.getResult());
  op.erase();
  ++numQuantized;
}

void QuantizeWeights::runOnOperation() {
  for (StringRef name : entries) {
    auto entry = getOperation().lookupSymbol<func::FuncOp>(name);
    if (!entry)
      continue;
    SmallVector<Operation *> readers;
    entry.walk([&](Operation *op) {
      if (isa<LinearOp, EmbeddingOp>(op))
        readers.push_back(op);
    });
    for (Operation *op : readers) {
      if (auto linear = dyn_cast<LinearOp>(op))
        quantize(linear);
      else
        quantize(cast<EmbeddingOp>(op));
    }
    entry.walk([](GetParamOp read) {
      if (read->use_empty())
        read.erase();
    });
  }
}
