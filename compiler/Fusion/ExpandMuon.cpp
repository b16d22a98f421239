//===- ExpandMuon.cpp - Muon as momentum, products and a step -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Fusion/Passes.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/IR/Builders.h"

namespace qwen {
#define GEN_PASS_DEF_EXPANDMUON
#include "compiler/Fusion/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

/// The matrix whose singular values are about 1 and whose directions are x's.
static Value orthogonalize(OpBuilder &b, Location loc, Value x, int64_t steps) {
  auto type = cast<RankedTensorType>(x.getType());
  // The smaller of the two Gram matrices.
  bool tall = type.getDimSize(0) > type.getDimSize(1);
  int64_t side = type.getDimSize(tall ? 1 : 0);
  auto square = RankedTensorType::get({side, side}, type.getElementType());
  auto product = [&](MatmulForm form, Type result, Value lhs, Value rhs,
                     Value addend, double alpha, double beta) -> Value {
    return MatmulOp::create(b, loc, result, form, lhs, rhs, addend,
                            llvm::APFloat(alpha), llvm::APFloat(beta));
  };
  for (int64_t i = 0; i < steps; ++i) {
    Value gram = product(tall ? MatmulForm::TN : MatmulForm::NT, square, x, x,
                         Value(), 1, 1);
    Value poly =
        product(MatmulForm::NN, square, gram, gram, gram, kMuonC, kMuonB);
    x = product(MatmulForm::NN, type, tall ? x : poly, tall ? poly : x, x, 1,
                kMuonA);
  }
  return x;
}

static void expand(MuonOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto type = cast<RankedTensorType>(op.getParam().getType());
  auto hyper = cast<RankedTensorType>(op.getHyper().getType());
  auto iterate = type;
  if (op.getBf16() && type.getElementType().isF32())
    iterate = RankedTensorType::get(type.getShape(), b.getBF16Type());
  auto momentum = MuonMomentumOp::create(
      b, loc, iterate, op.getGrad().getType(), op.getM().getType(),
      op.getGrad(), op.getM(), op.getHyper(), op.getScale(), op.getGroup(),
      op.getNesterov());
  auto scalar = RankedTensorType::get({}, hyper.getElementType());
  Value squares =
      SumSquaresOp::create(b, loc, scalar, momentum.getU(), Value());
  Value x = MuonNormalizeOp::create(b, loc, iterate, momentum.getU(), squares,
                                    op.getHyper(), op.getGroup());
  x = orthogonalize(b, loc, x, op.getSteps());
  Value param =
      MuonUpdateOp::create(b, loc, type, op.getParam(), x, op.getHyper(),
                           op.getScale(), op.getGroup(), op.getFactor());
  op->replaceAllUsesWith(
      ValueRange{param, momentum.getNewGrad(), momentum.getNewM()});
  op.erase();
}

namespace {
struct ExpandMuon : public qwen::impl::ExpandMuonBase<ExpandMuon> {
  void runOnOperation() override {
    getOperation().walk([&](MuonOp op) {
      expand(op);
      ++numExpanded;
    });
  }
};
} // namespace
