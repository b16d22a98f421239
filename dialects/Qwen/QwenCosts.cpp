//===- QwenCosts.cpp - The work of the model ops --------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/QwenDialect.h"

using namespace mlir;
using namespace qwen;

static int64_t elements(Value value) {
  return cast<RankedTensorType>(value.getType()).getNumElements();
}

static int64_t dim(Value value, int i) {
  return cast<RankedTensorType>(value.getType()).getDimSize(i);
}

//===----------------------------------------------------------------------===//
// Matrix products: two operations for each multiply-add
//===----------------------------------------------------------------------===//

int64_t LinearOp::getFlops() {
  return 2 * elements(getX()) * dim(getWeight(), 0);
}
int64_t QuantizedLinearOp::getFlops() {
  return 2 * elements(getX()) * dim(getWeight(), 0);
}
int64_t LinearInputGradOp::getFlops() {
  return 2 * elements(getGrad()) * dim(getWeight(), 1);
}
int64_t LinearWeightGradOp::getFlops() {
  return 2 * elements(getGrad()) * dim(getAcc(), 1);
}
int64_t LinearCrossEntropyOp::getFlops() {
  return 2 * elements(getX()) * dim(getWeight(), 0);
}
int64_t LinearCrossEntropyGradOp::getFlops() {
  return 6 * elements(getX()) * dim(getWeight(), 0);
}
/// The most keys that a query sees.
static int64_t visibleKeys(int64_t keys, int64_t window) {
  return window ? std::min(keys, window) : keys;
}
int64_t AttentionOp::getFlops() {
  return 4 * elements(getQ()) * visibleKeys(dim(getK(), 1), getWindow());
}
int64_t AttentionGradOp::getFlops() {
  return 10 * elements(getQ()) * visibleKeys(dim(getK(), 1), getWindow());
}
int64_t CachedAttentionOp::getFlops() {
  return 4 * elements(getQ()) * visibleKeys(dim(getK(), 2), getWindow());
}

int64_t MatmulOp::getFlops() {
  int64_t summed = dim(getLhs(), getForm() == MatmulForm::TN ? 0 : 1);
  return 2 * elements(getResult()) * summed;
}
int64_t MuonOp::getFlops() {
  int64_t rows = dim(getParam(), 0), columns = dim(getParam(), 1);
  int64_t small = std::min(rows, columns), large = std::max(rows, columns);
  int64_t iteration = 4 * small * small * large + 2 * small * small * small;
  return iteration * getSteps() + 20 * rows * columns;
}

//===----------------------------------------------------------------------===//
// Row-wise ops: operations for each element
//===----------------------------------------------------------------------===//

#define QWEN_FLOPS_PER_ELEMENT(OP, VALUE, COUNT)                               \
  int64_t OP::getFlops() { return (COUNT) * elements(VALUE); }
QWEN_FLOPS_PER_ELEMENT(AddOp, getResult(), 1)
QWEN_FLOPS_PER_ELEMENT(ZerosOp, getResult(), 0)
QWEN_FLOPS_PER_ELEMENT(CastOp, getResult(), 0)
QWEN_FLOPS_PER_ELEMENT(PositionsOp, getResult(), 1)
QWEN_FLOPS_PER_ELEMENT(DocumentStartsOp, getResult(), 1)
QWEN_FLOPS_PER_ELEMENT(LastTokenOp, getResult(), 0)
QWEN_FLOPS_PER_ELEMENT(QuantizedEmbeddingOp, getResult(), 1)
QWEN_FLOPS_PER_ELEMENT(EmbeddingOp, getResult(), 0)
QWEN_FLOPS_PER_ELEMENT(EmbeddingGradOp, getGrad(), 1)
QWEN_FLOPS_PER_ELEMENT(BiasGradOp, getGrad(), 1)
QWEN_FLOPS_PER_ELEMENT(RmsNormOp, getX(), 4)
QWEN_FLOPS_PER_ELEMENT(RmsNormInputGradOp, getX(), 7)
QWEN_FLOPS_PER_ELEMENT(RmsNormWeightGradOp, getX(), 3)
QWEN_FLOPS_PER_ELEMENT(LayerNormOp, getX(), 7)
QWEN_FLOPS_PER_ELEMENT(LayerNormInputGradOp, getX(), 9)
QWEN_FLOPS_PER_ELEMENT(LayerNormWeightGradOp, getX(), 4)
QWEN_FLOPS_PER_ELEMENT(RopeTableOp, getCos(), 20)
QWEN_FLOPS_PER_ELEMENT(RopeOp, getX(), 3)
QWEN_FLOPS_PER_ELEMENT(KvAppendOp, getX(), 0)
QWEN_FLOPS_PER_ELEMENT(ActivationOp, getX(), 10)
QWEN_FLOPS_PER_ELEMENT(ActivationGradOp, getX(), 14)
QWEN_FLOPS_PER_ELEMENT(GluOp, getGate(), 11)
QWEN_FLOPS_PER_ELEMENT(GluGradOp, getGate(), 16)
QWEN_FLOPS_PER_ELEMENT(SoftcapOp, getX(), 12)
QWEN_FLOPS_PER_ELEMENT(SoftcapGradOp, getX(), 14)
QWEN_FLOPS_PER_ELEMENT(CrossEntropyGradOp, getLogits(), 13)
QWEN_FLOPS_PER_ELEMENT(CrossEntropyOp, getLogits(), 12)
QWEN_FLOPS_PER_ELEMENT(SumSquaresOp, getX(), 2)
QWEN_FLOPS_PER_ELEMENT(ClipOp, getNorm(), 4)
QWEN_FLOPS_PER_ELEMENT(AdamWOp, getParam(), 14)
QWEN_FLOPS_PER_ELEMENT(MuonMomentumOp, getGrad(), 8)
QWEN_FLOPS_PER_ELEMENT(MuonNormalizeOp, getU(), 1)
QWEN_FLOPS_PER_ELEMENT(MuonUpdateOp, getParam(), 3)
#undef QWEN_FLOPS_PER_ELEMENT
