//===- ReduceGradients.cpp - Add up the devices' gradients, once a step ---===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The optimizer's entry begins with a loop that makes the sum of every
// gradient's summands. Where the optimizer's state lies as the parameter does,
// the sum takes the summands' place; else each device keeps its part of it in
// a place of its own, and the summands become zeros.
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Annotations.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace qwen {
#define GEN_PASS_DEF_REDUCEGRADIENTS
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {
/// A gradient of the optimizer's entry.
struct Gradient {
  BlockArgument arg;
  ParamOp param;
  Sharding to;
  bool inPlace;
  Value reduced; // what takes its place
  Value cleared; // what its memory holds in the end, if that is not `inPlace`
};

struct ReduceGradients
    : public qwen::impl::ReduceGradientsBase<ReduceGradients> {
  void runOnOperation() override;
};
} // namespace

static Value reshard(OpBuilder &b, Location loc, Value value,
                     const Sharding &to) {
  auto attr = ShardingAttr::get(b.getContext(), to);
  return ReshardOp::create(b, loc, value.getType(), value, attr, attr);
}

/// Reduces gradients of parameters with `count` layers in a loop.
static void reduceStacks(OpBuilder &b, Location loc, int64_t count,
                         ArrayRef<Gradient *> gradients) {
  SmallVector<Value> states;
  SmallVector<Type> stacked;
  for (Gradient *gradient : gradients) {
    states.push_back(gradient->arg);
    if (!gradient->inPlace)
      stacked.push_back(gradient->arg.getType());
  }
  SmallVector<Type> types(stacked);
  llvm::append_range(types, ValueRange(states).getTypes());
  auto loop = LayersOp::create(b, loc, types, ValueRange(), ValueRange(),
                               states, count, 0, false);
  OpBuilder inner(b.getContext());
  Block &body = loop.getBody().emplaceBlock();
  inner.setInsertionPointToEnd(&body);
  SmallVector<Value> saved, next;
  for (Gradient *gradient : gradients) {
    Type type = LayersOp::slice(gradient->arg.getType());
    Value arg = body.addArgument(type, loc);
    Value sum = reshard(inner, loc, arg, gradient->to);
    if (gradient->inPlace) {
      next.push_back(sum);
      continue;
    }
    saved.push_back(sum);
    next.push_back(ClearOp::create(inner, loc, type, arg));
  }
  YieldOp::create(inner, loc, ValueRange(), saved, next);
  unsigned stack = 0;
  for (auto [gradient, result] : llvm::zip(gradients, loop.getStateResults())) {
    gradient->reduced =
        gradient->inPlace ? Value(result) : loop.getStackedResults()[stack++];
    gradient->cleared = result;
  }
}

/// `layers` with those states as slices whose values are not entry arguments;
/// their results are used by nothing.
static void statesToSlices(LayersOp layers,
                           const llvm::SetVector<Value> &moved) {
  auto isMoved = [&](Value state) { return moved.contains(state); };
  if (llvm::none_of(layers.getStates(), isMoved))
    return;
  OpBuilder b(layers);
  auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
  SmallVector<Value> slices(layers.getSlices()), states, yielded, oldArgs;
  SmallVector<Type> types(layers.getCarriedResults().getTypes());
  llvm::append_range(types, layers.getStackedResults().getTypes());
  for (auto [state, next] : llvm::zip(layers.getStates(), yield.getStates())) {
    if (isMoved(state)) {
      slices.push_back(state);
      continue;
    }
    states.push_back(state);
    yielded.push_back(next);
    types.push_back(state.getType());
  }
  auto result = LayersOp::create(b, layers.getLoc(), types, layers.getCarried(),
                                 slices, states, layers.getCount(),
                                 layers.getBegin(), layers.getReverse());
  Block &body = layers.getBlock();
  unsigned first = layers.getCarried().size();
  unsigned numSlices = layers.getSlices().size(), insertAt = first + numSlices;
  unsigned index = first + numSlices;
  SmallVector<Value> keptResults;
  for (auto [state, old] :
       llvm::zip(layers.getStates(), layers.getStateResults())) {
    if (isMoved(state)) {
      BlockArgument arg = body.getArgument(index);
      BlockArgument slice =
          body.insertArgument(insertAt++, arg.getType(), arg.getLoc());
      arg = body.getArgument(++index);
      arg.replaceAllUsesWith(slice);
      body.eraseArgument(index);
    } else {
      keptResults.push_back(old);
      ++index;
    }
  }
  yield.getStatesMutable().assign(yielded);
  unsigned fixed = layers.getNumResults() - layers.getStateResults().size();
  for (unsigned i = 0; i < fixed; ++i)
    layers.getResult(i).replaceAllUsesWith(result.getResult(i));
  for (auto [old, now] : llvm::zip(keptResults, result.getStateResults()))
    old.replaceAllUsesWith(now);
  result.getBody().takeBody(layers.getBody());
  layers.erase();
}

static void reduce(func::FuncOp step, ModuleOp module, int64_t zero) {
  Block &body = step.getBody().front();
  std::vector<Gradient> gradients;
  for (BlockArgument arg : body.getArguments()) {
    unsigned i = arg.getArgNumber();
    auto role = step.getArgAttrOfType<StringAttr>(i, entry::kRole);
    if (!role || role.getValue() != entry::kGradient)
      continue;
    auto symbol = step.getArgAttrOfType<FlatSymbolRefAttr>(i, entry::kParam);
    auto param = module.lookupSymbol<ParamOp>(symbol.getValue());
    auto get = [&](StringRef name) {
      return param->getAttrOfType<ShardingAttr>(name).getSharding();
    };
    Sharding to = get(kStorageAttr);
    bool inPlace = to == get(kComputeAttr);
    // From ZeRO-2 on micro steps leave sums already where they can be split.
    if (zero < 2 || inPlace)
      gradients.push_back({arg, param, to, inPlace, Value(), Value()});
  }
  OpBuilder b = OpBuilder::atBlockBegin(&body);
  SmallVector<Operation *> before;
  llvm::MapVector<int64_t, SmallVector<Gradient *>> stacks;
  for (Gradient &gradient : gradients) {
    Location loc = gradient.param.getLoc();
    if (auto layers = gradient.param.getLayers()) {
      stacks[*layers].push_back(&gradient);
      continue;
    }
    gradient.reduced = reshard(b, loc, gradient.arg, gradient.to);
    if (!gradient.inPlace)
      gradient.cleared =
          ClearOp::create(b, loc, gradient.arg.getType(), gradient.arg);
  }
  for (auto &[count, members] : stacks)
    reduceStacks(b, members.front()->param.getLoc(), count, members);

  llvm::SetVector<Value> moved;
  llvm::SmallPtrSet<Operation *, 8> made;
  for (Operation &op : llvm::make_range(body.begin(), b.getInsertionPoint()))
    made.insert(&op);
  Operation *ret = body.getTerminator();
  for (Gradient &gradient : gradients) {
    gradient.arg.replaceUsesWithIf(gradient.reduced, [&](OpOperand &use) {
      return !made.contains(use.getOwner());
    });
    if (gradient.inPlace)
      continue;
    if (gradient.param.getLayers())
      moved.insert(gradient.reduced);
    for (unsigned r = 0; r < step.getNumResults(); ++r)
      if (auto alias = step.getResultAttrOfType<IntegerAttr>(r, entry::kAlias))
        if (alias.getInt() == gradient.arg.getArgNumber())
          ret->setOperand(r, gradient.cleared);
  }
  for (auto layers : llvm::make_early_inc_range(body.getOps<LayersOp>()))
    statesToSlices(layers, moved);
}

void ReduceGradients::runOnOperation() {
  ModuleOp module = getOperation();
  FailureOr<Mesh> mesh = getMesh(module);
  if (failed(mesh))
    return signalPassFailure();
  auto parallel = module->getAttrOfType<DictionaryAttr>(kParallelAttr);
  auto zero = parallel ? parallel.getAs<IntegerAttr>("zero") : IntegerAttr();
  if (subAxesOf(*mesh).empty())
    return;
  if (auto step = module.lookupSymbol<func::FuncOp>("optimizer_step"))
    reduce(step, module, zero ? zero.getInt() : 0);
}
