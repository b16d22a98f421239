//===- ReduceGradients.cpp - Add up the devices' gradients, once a step ---===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The last micro step of an optimizer step is an entry of its own: it adds each
// gradient up over devices where the backward pass has just finished it, so
// that the sum runs beside what is left of that pass. Where the sum lies as the
// summands do it takes their place; else each device gets its part of it in a
// state of its own, and the summands become zeros.
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Annotations.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

namespace qwen {
#define GEN_PASS_DEF_REDUCEGRADIENTS
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {
/// A gradient that micro steps leave as summands of devices.
struct Gradient {
  unsigned arg; // of micro_step
  Sharding summands, sum;

  bool inPlace() const { return summands.withoutPartial() == sum; }
};

/// Turns a copy of micro_step into last_micro_step.
class LastStep {
public:
  explicit LastStep(func::FuncOp entry)
      : entry(entry), ret(entry.getBody().front().getTerminator()),
        b(entry.getContext()) {}

  void run(ArrayRef<Gradient> gradients);

private:
  /// A gradient that a loop leaves in one of its states.
  struct Stacked {
    const Gradient *gradient;
    unsigned state, result;
  };

  Value reshard(Value value, const Sharding &from, const Sharding &to);
  Value addSum(const Gradient &gradient, unsigned result);
  void addCleared(const Gradient &gradient, unsigned result, Value cleared);
  void sumUp(const Gradient &gradient, unsigned result);
  void sumUp(LayersOp layers, ArrayRef<Stacked> stacked);
  void clear(LayersOp layers, ArrayRef<Stacked> stacked);

  func::FuncOp entry;
  Operation *ret;
  OpBuilder b;
};

struct ReduceGradients
    : public qwen::impl::ReduceGradientsBase<ReduceGradients> {
  void runOnOperation() override;
};
} // namespace

static void setSharding(Operation *op, StringRef name, unsigned i,
                        const Sharding &sharding) {
  Shardings all = getShardings(op, name);
  if (i == all.size())
    all.emplace_back();
  all[i] = sharding;
  setShardings(op, name, all);
}

/// `layers` with more states; the body's new arguments are read by nothing.
static LayersOp withStates(LayersOp layers, ArrayRef<Value> states,
                           ArrayRef<Value> next, ArrayRef<Sharding> shardings) {
  OpBuilder b(layers);
  SmallVector<Value> all(layers.getStates());
  llvm::append_range(all, states);
  SmallVector<Type> types(layers.getResultTypes());
  llvm::append_range(types, ValueRange(states).getTypes());
  auto result = LayersOp::create(b, layers.getLoc(), types, layers.getCarried(),
                                 layers.getSlices(), all, layers.getCount(),
                                 layers.getBegin(), layers.getReverse());
  result->setDiscardableAttrs(layers->getDiscardableAttrDictionary());
  auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
  yield.getStatesMutable().append(next);
  for (auto [state, sharding] : llvm::zip(states, shardings)) {
    layers.getBlock().addArgument(LayersOp::slice(state.getType()),
                                  state.getLoc());
    for (StringRef name : {kOperandsAttr, kResultsAttr})
      setSharding(result, name, getShardings(result, name).size(), sharding);
    unsigned arg = getShardings(result, kArgumentsAttr).size();
    setSharding(result, kArgumentsAttr, arg, layerOf(sharding));
    setSharding(yield, kOperandsAttr, getShardings(yield, kOperandsAttr).size(),
                layerOf(sharding));
  }
  result.getBody().takeBody(layers.getBody());
  layers->replaceAllUsesWith(
      result->getResults().take_front(layers->getNumResults()));
  layers.erase();
  return result;
}

/// Adds up right behind what computes `value`.
Value LastStep::reshard(Value value, const Sharding &from, const Sharding &to) {
  b.setInsertionPointAfterValue(value);
  MLIRContext *context = b.getContext();
  auto op = ReshardOp::create(b, value.getLoc(), value.getType(), value,
                              ShardingAttr::get(context, from),
                              ShardingAttr::get(context, to));
  op->setAttr(kOfParameterAttr, b.getUnitAttr());
  setShardings(op, kOperandsAttr, from);
  setShardings(op, kResultsAttr, to);
  return op;
}

/// A state for the sum, which `result` of the entry becomes the contents of.
Value LastStep::addSum(const Gradient &gradient, unsigned result) {
  auto sharding = ShardingAttr::get(b.getContext(), gradient.sum);
  NamedAttrList attrs(entry.getArgAttrDict(gradient.arg));
  attrs.set(entry::kRole, b.getStringAttr(entry::kGradientSum));
  attrs.set(kShardingAttr, sharding);
  unsigned index = entry.getNumArguments();
  (void)entry.insertArgument(index, entry.getArgumentTypes()[gradient.arg],
                             attrs.getDictionary(b.getContext()),
                             entry.getArgument(gradient.arg).getLoc());
  // The summands' contents get a result of their own.
  unsigned last = entry.getNumResults();
  (void)entry.insertResult(last, entry.getResultTypes()[result],
                           entry.getResultAttrDict(result));
  attrs.set(entry::kAlias, b.getI64IntegerAttr(index));
  entry.setResultAttrs(result, attrs.getDictionary(b.getContext()));
  return entry.getArgument(index);
}

void LastStep::addCleared(const Gradient &gradient, unsigned result,
                          Value cleared) {
  setSharding(ret, kOperandsAttr, result, gradient.sum);
  setSharding(ret, kOperandsAttr, ret->getNumOperands(), gradient.summands);
  ret->insertOperands(ret->getNumOperands(), cleared);
}

/// A gradient outside of layers.
void LastStep::sumUp(const Gradient &gradient, unsigned result) {
  Value summands = ret->getOperand(result);
  ret->setOperand(result, reshard(summands, gradient.summands, gradient.sum));
  if (gradient.inPlace()) {
    setSharding(ret, kOperandsAttr, result, gradient.sum);
    entry.setResultAttr(result, kShardingAttr,
                        ShardingAttr::get(b.getContext(), gradient.sum));
    return;
  }
  addSum(gradient, result);
  b.setInsertionPoint(ret);
  auto cleared =
      ClearOp::create(b, summands.getLoc(), summands.getType(), summands);
  setShardings(cleared, kOperandsAttr, gradient.summands);
  setShardings(cleared, kResultsAttr, gradient.summands);
  addCleared(gradient, result, cleared);
}

/// The gradients that a reverse loop computes.
void LastStep::sumUp(LayersOp layers, ArrayRef<Stacked> stacked) {
  auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
  unsigned firstYield = yield.getStates().getBeginOperandIndex();
  unsigned firstResult =
      layers.getNumResults() - layers.getStateResults().size();
  SmallVector<Value> states, next;
  Shardings shardings;
  SmallVector<Stacked> moved;
  for (const Stacked &item : stacked) {
    const Gradient &gradient = *item.gradient;
    Value sum = reshard(yield.getStates()[item.state],
                        layerOf(gradient.summands), layerOf(gradient.sum));
    if (gradient.inPlace()) {
      yield->setOperand(firstYield + item.state, sum);
      setSharding(yield, kOperandsAttr, firstYield + item.state,
                  layerOf(gradient.sum));
      setSharding(layers, kResultsAttr, firstResult + item.state, gradient.sum);
      setSharding(ret, kOperandsAttr, item.result, gradient.sum);
      entry.setResultAttr(item.result, kShardingAttr,
                          ShardingAttr::get(b.getContext(), gradient.sum));
      continue;
    }
    states.push_back(addSum(gradient, item.result));
    next.push_back(sum);
    shardings.push_back(gradient.sum);
    moved.push_back(item);
  }
  if (moved.empty())
    return;
  unsigned before = layers.getNumResults();
  LayersOp all = withStates(layers, states, next, shardings);
  for (auto [i, item] : llvm::enumerate(moved))
    ret->setOperand(item.result, all.getResult(before + i));
  clear(all, moved);
}

/// Zeros in place of the summands that `layers` leaves.
void LastStep::clear(LayersOp layers, ArrayRef<Stacked> stacked) {
  Location loc = layers.getLoc();
  SmallVector<Value> states, next;
  Shardings shardings, slices;
  for (const Stacked &item : stacked) {
    states.push_back(layers.getStateResults()[item.state]);
    shardings.push_back(item.gradient->summands);
    slices.push_back(layerOf(shardings.back()));
  }
  b.setInsertionPoint(ret);
  auto loop = LayersOp::create(b, loc, ValueRange(states).getTypes(),
                               ValueRange(), ValueRange(), states,
                               layers.getCount(), layers.getBegin(), false);
  Block &body = loop.getBody().emplaceBlock();
  b.setInsertionPointToEnd(&body);
  for (auto [state, slice] : llvm::zip(states, slices)) {
    Value arg = body.addArgument(LayersOp::slice(state.getType()), loc);
    auto cleared = ClearOp::create(b, loc, arg.getType(), arg);
    setShardings(cleared, kOperandsAttr, slice);
    setShardings(cleared, kResultsAttr, slice);
    next.push_back(cleared);
  }
  auto yield = YieldOp::create(b, loc, ValueRange(), ValueRange(), next);
  setShardings(yield, kOperandsAttr, slices);
  setShardings(loop, kArgumentsAttr, slices);
  for (StringRef name : {kOperandsAttr, kResultsAttr})
    setShardings(loop, name, shardings);
  for (auto [item, result] : llvm::zip(stacked, loop.getResults()))
    addCleared(*item.gradient, item.result, result);
}

void LastStep::run(ArrayRef<Gradient> gradients) {
  unsigned numResults = entry.getNumResults();
  llvm::MapVector<Operation *, SmallVector<Stacked>> loops;
  for (const Gradient &gradient : gradients)
    for (unsigned r = 0; r < numResults; ++r) {
      auto alias = entry.getResultAttrOfType<IntegerAttr>(r, entry::kAlias);
      if (!alias || alias.getInt() != gradient.arg)
        continue;
      auto value = dyn_cast<OpResult>(ret->getOperand(r));
      auto layers = value ? dyn_cast<LayersOp>(value.getOwner()) : LayersOp();
      if (!layers) {
        sumUp(gradient, r);
        continue;
      }
      unsigned first = layers.getNumResults() - layers.getStateResults().size();
      loops[layers].push_back({&gradient, value.getResultNumber() - first, r});
    }
  for (auto &[layers, stacked] : loops)
    sumUp(cast<LayersOp>(layers), stacked);
}

void ReduceGradients::runOnOperation() {
  ModuleOp module = getOperation();
  FailureOr<Mesh> mesh = getMesh(module);
  if (failed(mesh))
    return signalPassFailure();
  auto step = module.lookupSymbol<func::FuncOp>("micro_step");
  auto update = module.lookupSymbol<func::FuncOp>("optimizer_step");
  if (subAxesOf(*mesh).empty() || !step || !update)
    return;
  auto sharding = [](func::FuncOp entry, unsigned i) {
    return entry.getArgAttrOfType<ShardingAttr>(i, kShardingAttr).getSharding();
  };
  auto isGradient = [](func::FuncOp entry, unsigned i) {
    auto role = entry.getArgAttrOfType<StringAttr>(i, entry::kRole);
    return role && role.getValue() == entry::kGradient;
  };
  auto gradientSum = StringAttr::get(&getContext(), entry::kGradientSum);
  std::vector<Gradient> gradients;
  for (unsigned i = 0; i < update.getNumArguments(); ++i) {
    if (!isGradient(update, i))
      continue;
    for (unsigned j = 0; j < step.getNumArguments(); ++j) {
      if (!isGradient(step, j) || step.getArgAttr(j, entry::kParam) !=
                                      update.getArgAttr(i, entry::kParam))
        continue;
      if (sharding(step, j) == sharding(update, i))
        continue;
      gradients.push_back({j, sharding(step, j), sharding(update, i)});
      update.setArgAttr(i, entry::kRole, gradientSum);
      for (unsigned r = 0; r < update.getNumResults(); ++r)
        if (auto alias =
                update.getResultAttrOfType<IntegerAttr>(r, entry::kAlias))
          if (alias.getInt() == i)
            update.setResultAttr(r, entry::kRole, gradientSum);
    }
  }
  if (gradients.empty())
    return;
  func::FuncOp last = step.clone();
  last.setName("last_micro_step");
  module.insert(std::next(Block::iterator(step)), last);
  LastStep(last).run(gradients);
}
