//===- AdjointRules.cpp - The derivative of every op ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One function for each op, and a table of them at the end. Reads like the
// formulas in the ops' descriptions.
//
//===----------------------------------------------------------------------===//

#include "compiler/Autodiff/AdjointRules.h"

#include "dialects/Qwen/QwenDialect.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace qwen;

//===----------------------------------------------------------------------===//
// Elementwise and shape ops
//===----------------------------------------------------------------------===//

/// `gradient` in the element type of `like`.
static Value castLike(Adjoint &a, Location loc, Value gradient, Value like) {
  if (gradient.getType() == like.getType())
    return gradient;
  return CastOp::create(a.b, loc, like.getType(), gradient);
}

static void adjoint(AddOp op, Adjoint &a) {
  Value dy = a.grad(op.getResult());
  a.add(op.getLhs(), castLike(a, op.getLoc(), dy, op.getLhs()));
  a.add(op.getRhs(), castLike(a, op.getLoc(), dy, op.getRhs()));
}

static void adjoint(CastOp op, Adjoint &a) {
  a.add(op.getOperand(),
        castLike(a, op.getLoc(), a.grad(op.getResult()), op.getOperand()));
}

static void adjoint(ReshapeOp op, Adjoint &a) {
  a.add(op.getOperand(),
        ReshapeOp::create(a.b, op.getLoc(), op.getOperand().getType(),
                          a.grad(op.getResult())));
}

//===----------------------------------------------------------------------===//
// Embedding, linear
//===----------------------------------------------------------------------===//

static void adjoint(EmbeddingOp op, Adjoint &a) {
  Value dy = a.grad(op.getResult()), ids = a.read(op.getIds());
  a.addWeight(op.getTable(), [&](Value acc) {
    return EmbeddingGradOp::create(a.b, op.getLoc(), acc.getType(), dy, ids,
                                   acc);
  });
}

static void adjoint(LinearOp op, Adjoint &a) {
  Value dy = a.grad(op.getResult());
  a.add(op.getX(),
        LinearInputGradOp::create(a.b, op.getLoc(), op.getX().getType(), dy,
                                  a.read(op.getWeight())));
  Value x = a.read(op.getX());
  a.addWeight(op.getWeight(), [&](Value acc) {
    return LinearWeightGradOp::create(a.b, op.getLoc(), acc.getType(), dy, x,
                                      acc);
  });
  if (op.getBias())
    a.addWeight(op.getBias(), [&](Value acc) {
      return BiasGradOp::create(a.b, op.getLoc(), acc.getType(), dy, acc);
    });
}

//===----------------------------------------------------------------------===//
// Norms
//===----------------------------------------------------------------------===//

static void adjoint(RmsNormOp op, Adjoint &a) {
  Value dy = a.grad(op.getResult());
  Value x = a.read(op.getX()), rstd = a.read(op.getRstd());
  Value weight = op.getWeight() ? a.read(op.getWeight()) : Value();
  a.add(op.getX(),
        RmsNormInputGradOp::create(a.b, op.getLoc(), op.getX().getType(), dy, x,
                                   rstd, weight));
  if (weight)
    a.addWeight(op.getWeight(), [&](Value acc) {
      return RmsNormWeightGradOp::create(a.b, op.getLoc(), acc.getType(), dy, x,
                                         rstd, acc);
    });
}

static void adjoint(LayerNormOp op, Adjoint &a) {
  Value dy = a.grad(op.getResult()), x = a.read(op.getX());
  Value mean = a.read(op.getSaved()[0]), rstd = a.read(op.getSaved()[1]);
  a.add(op.getX(),
        LayerNormInputGradOp::create(a.b, op.getLoc(), op.getX().getType(), dy,
                                     x, mean, rstd, a.read(op.getWeight())));
  a.addWeight(op.getWeight(), [&](Value acc) {
    return LayerNormWeightGradOp::create(a.b, op.getLoc(), acc.getType(), dy, x,
                                         mean, rstd, acc);
  });
  if (op.getBias())
    a.addWeight(op.getBias(), [&](Value acc) {
      return BiasGradOp::create(a.b, op.getLoc(), acc.getType(), dy, acc);
    });
}

//===----------------------------------------------------------------------===//
// Position, attention
//===----------------------------------------------------------------------===//

static void adjoint(RopeOp op, Adjoint &a) {
  // A rotation: its transpose is the rotation back.
  a.add(op.getX(), RopeOp::create(a.b, op.getLoc(), op.getX().getType(),
                                  a.grad(op.getResult()), a.read(op.getCos()),
                                  a.read(op.getSin()), !op.getInverse()));
}

static void adjoint(AttentionOp op, Adjoint &a) {
  auto grads = AttentionGradOp::create(
      a.b, op.getLoc(), op.getQ().getType(), op.getK().getType(),
      op.getV().getType(), a.grad(op.getResult()), a.read(op.getQ()),
      a.read(op.getK()), a.read(op.getV()), a.read(op.getResult()),
      a.read(op.getLse()), op.getStarts() ? a.read(op.getStarts()) : Value(),
      op.getScaleAttr(), op.getWindowAttr());
  a.add(op.getQ(), grads.getDq());
  a.add(op.getK(), grads.getDk());
  a.add(op.getV(), grads.getDv());
}

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

static void adjoint(ActivationOp op, Adjoint &a) {
  a.add(op.getX(), ActivationGradOp::create(
                       a.b, op.getLoc(), op.getX().getType(), op.getKind(),
                       a.grad(op.getResult()), a.read(op.getX())));
}

static void adjoint(GluOp op, Adjoint &a) {
  auto grads = GluGradOp::create(a.b, op.getLoc(), op.getGate().getType(),
                                 op.getUp().getType(), op.getKind(),
                                 a.grad(op.getResult()), a.read(op.getGate()),
                                 a.read(op.getUp()));
  a.add(op.getGate(), grads.getDgate());
  a.add(op.getUp(), grads.getDup());
}

static void adjoint(SoftcapOp op, Adjoint &a) {
  a.add(op.getX(), SoftcapGradOp::create(a.b, op.getLoc(), op.getX().getType(),
                                         a.grad(op.getResult()),
                                         a.read(op.getX()), op.getCap()));
}

//===----------------------------------------------------------------------===//
// Losses
//===----------------------------------------------------------------------===//

static void adjoint(CrossEntropyOp op, Adjoint &a) {
  a.add(op.getLogits(), CrossEntropyGradOp::create(
                            a.b, op.getLoc(), op.getLogits().getType(),
                            a.read(op.getLogits()), a.read(op.getTargets()),
                            a.grad(op.getLoss()), op.getZWeightAttr()));
}

static void adjoint(LinearCrossEntropyOp op, Adjoint &a) {
  Value dx;
  Value x = a.read(op.getX()), weight = a.read(op.getWeight());
  Value targets = a.read(op.getTargets()), seed = a.grad(op.getLoss());
  a.addWeight(op.getWeight(), [&](Value acc) -> Value {
    auto grads = LinearCrossEntropyGradOp::create(
        a.b, op.getLoc(), op.getLoss().getType(), op.getX().getType(),
        acc.getType(), x, weight, targets, seed, acc, op.getCapAttr(),
        op.getZWeightAttr());
    dx = grads.getDx();
    a.replace(op.getLoss(), grads.getLoss());
    return grads.getResult();
  });
  a.add(op.getX(), dx);
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

namespace {
using Rule = void (*)(Operation *, Adjoint &);

struct RuleTable {
  llvm::StringMap<Rule> rules;

  template <typename... Ops> void add() {
    (rules.try_emplace(
         Ops::getOperationName(),
         +[](Operation *op, Adjoint &a) { adjoint(cast<Ops>(op), a); }),
     ...);
  }

  RuleTable() {
    add<AddOp, CastOp, ReshapeOp, EmbeddingOp, LinearOp, RmsNormOp, LayerNormOp,
        RopeOp, AttentionOp, ActivationOp, GluOp, SoftcapOp, CrossEntropyOp,
        LinearCrossEntropyOp>();
  }
};
} // namespace

static const RuleTable &table() {
  static const RuleTable rules;
  return rules;
}

bool qwen::isDifferentiable(Operation *op) {
  return table().rules.contains(op->getName().getStringRef());
}

LogicalResult qwen::applyAdjointRule(Operation *op, Adjoint &a) {
  Rule rule = table().rules.lookup(op->getName().getStringRef());
  if (!rule)
    return op->emitOpError("has no derivative rule");
  rule(op, a);
  return success();
}
