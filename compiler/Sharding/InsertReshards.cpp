//===- InsertReshards.cpp - Say where shardings change --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Annotations.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"
#include "compiler/Sharding/ReshardPlan.h"
#include "compiler/Sharding/ShardingRules.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {
#define GEN_PASS_DEF_INSERTRESHARDS
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {
struct InsertReshards : public qwen::impl::InsertReshardsBase<InsertReshards> {
  void runOnOperation() override;

  void gatherParameters(func::FuncOp entry);
  void addApart(Operation *op);
  void moveAboveView(func::ReturnOp ret);
  LogicalResult convertOperands(Operation *op);

  SubAxes mesh;
};
} // namespace

static ReshardOp createReshard(OpBuilder &b, Location loc, Value value,
                               const Sharding &from, const Sharding &to) {
  MLIRContext *context = b.getContext();
  auto op = ReshardOp::create(b, loc, value.getType(), value,
                              ShardingAttr::get(context, from),
                              ShardingAttr::get(context, to));
  setShardings(op, kOperandsAttr, from);
  setShardings(op, kResultsAttr, to);
  return op;
}

/// Parameters that are stored split are gathered where they are read: in every
/// iteration anew.
void InsertReshards::gatherParameters(func::FuncOp entry) {
  SmallVector<GetParamOp> gets;
  entry.walk([&](GetParamOp op) { gets.push_back(op); });
  for (GetParamOp get : gets) {
    auto param = getOperation().lookupSymbol<ParamOp>(get.getParam());
    Sharding stored = storedSharding(get, param).getSharding();
    Sharding read = valueSharding(get.getResult());
    if (stored == read)
      continue;
    setShardings(get, kResultsAttr, stored);
    OpBuilder b(get->getContext());
    b.setInsertionPointAfter(get);
    auto reshard =
        createReshard(b, get.getLoc(), get.getResult(), stored, read);
    reshard->setAttr(kOfParameterAttr, b.getUnitAttr());
    get.getResult().replaceAllUsesExcept(reshard.getResult(), reshard);
  }
}

/// What the op adds is summed up apart, changes its sharding and is added then.
void InsertReshards::addApart(Operation *op) {
  op->removeAttr(kApartAttr);
  std::optional<ShardingRule> rule = getShardingRule(op);
  Location loc = op->getLoc();
  OpOperand &sum = op->getOpOperand(rule->accumulator);
  Value acc = sum.get(), result = op->getResult(rule->accResult);
  Sharding lies = valueSharding(acc);
  Sharding added = getShardings(op, kResultsAttr)[rule->accResult];
  OpBuilder b(op);
  auto start = StartOp::create(b, loc, acc.getType(), acc);
  setShardings(start, kOperandsAttr, lies);
  setShardings(start, kResultsAttr, added);
  sum.set(start);
  b.setInsertionPointAfter(op);
  auto moved = createReshard(b, loc, result, added, lies);
  moved->setAttr(kOfParameterAttr, b.getUnitAttr());
  auto total = AccumulateOp::create(b, loc, acc.getType(), moved, acc);
  setShardings(total, kOperandsAttr, {lies, lies});
  setShardings(total, kResultsAttr, lies);
  result.replaceAllUsesExcept(total.getResult(), moved);
}

/// A view right before the end takes the end's sharding, so that what it views
/// is gathered: that still has its rows in front.
void InsertReshards::moveAboveView(func::ReturnOp ret) {
  Shardings wanted = getShardings(ret, kOperandsAttr);
  for (auto [value, sharding] : llvm::zip(ret.getOperands(), wanted)) {
    auto view = value.getDefiningOp<ReshapeOp>();
    if (!view || !value.hasOneUse() || valueSharding(value) == sharding)
      continue;
    std::optional<ShardingRule> rule = getShardingRule(view);
    SmallVector<Axes> factors =
        axesOfFactors(*rule, rule->results[0], sharding, mesh);
    Sharding source = shardingOf(rule->operands[0], factors);
    if (shardingOf(rule->results[0], factors) != sharding)
      continue;
    setShardings(view, kOperandsAttr, source);
    setShardings(view, kResultsAttr, sharding);
  }
}

LogicalResult InsertReshards::convertOperands(Operation *op) {
  Shardings wanted = getShardings(op, kOperandsAttr);
  for (auto [i, to] : llvm::enumerate(wanted)) {
    Value value = op->getOperand(i);
    Sharding from = valueSharding(value);
    if (from == to)
      continue;
    OpBuilder b(op);
    // Zeros are the same everywhere.
    if (auto zeros = value.getDefiningOp<ZerosOp>()) {
      b.setInsertionPointAfter(zeros);
      auto copy = ZerosOp::create(b, zeros.getLoc(), zeros.getType());
      setShardings(copy, kResultsAttr, to);
      op->setOperand(i, copy);
      continue;
    }
    if (!planReshard(from, to))
      return op->emitOpError("operand ")
             << i << " lies as " << from.str()
             << ", which no collective turns into " << to.str() << " [Q2206]";
    // What comes from outside of a loop is moved there, once.
    if (value.getParentBlock() != op->getBlock())
      b.setInsertionPointAfterValue(value);
    auto reshard = createReshard(b, value.getLoc(), value, from, to);
    // An update knows of nothing else.
    if (!op->getParentOfType<func::FuncOp>()->hasAttr(entry::kExtents))
      reshard->setAttr(kOfParameterAttr, b.getUnitAttr());
    op->setOperand(i, reshard);
  }
  return success();
}

void InsertReshards::runOnOperation() {
  FailureOr<Mesh> found = getMesh(getOperation());
  if (failed(found))
    return signalPassFailure();
  mesh = subAxesOf(*found);
  if (mesh.empty())
    return;
  for (auto entry : getOperation().getOps<func::FuncOp>()) {
    if (!entry->hasAttr(entry::kEntry))
      continue;
    gatherParameters(entry);
    SmallVector<Operation *> apart, ops;
    entry.walk([&](Operation *op) {
      if (op->hasAttr(kApartAttr))
        apart.push_back(op);
    });
    for (Operation *op : apart)
      addApart(op);
    entry.walk([&](func::ReturnOp ret) { moveAboveView(ret); });
    entry.walk([&](Operation *op) {
      if (op->hasAttr(kOperandsAttr) && !isa<ReshardOp>(op))
        ops.push_back(op);
    });
    for (Operation *op : ops)
      if (failed(convertOperands(op)))
        return signalPassFailure();
  }
}
