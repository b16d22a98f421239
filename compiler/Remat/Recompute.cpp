//===- Recompute.cpp - What to recompute, and what it costs ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Remat/Recompute.h"

#include "dialects/Qwen/Entry.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/BitVector.h"

using namespace mlir;
using namespace qwen;

//===----------------------------------------------------------------------===//
// The choice
//===----------------------------------------------------------------------===//

std::optional<RecomputePlan> RecomputePlan::create(LayersOp forward) {
  auto yield = cast<YieldOp>(forward.getBlock().getTerminator());
  LayersOp backward;
  SmallVector<SavedValue, 0> saved;
  for (auto [value, stack] :
       llvm::zip(yield.getStacked(), forward.getStackedResults())) {
    if (!stack.hasOneUse())
      continue;
    OpOperand &use = *stack.use_begin();
    auto reader = dyn_cast<LayersOp>(use.getOwner());
    if (!reader || (backward && reader != backward) ||
        reader.getReverse() == forward.getReverse() ||
        reader.getCount() != forward.getCount() ||
        reader.getBegin() != forward.getBegin() ||
        reader->getBlock() != forward->getBlock())
      continue;
    unsigned begin = reader.getSlices().getBeginOperandIndex();
    unsigned index = use.getOperandNumber() - begin;
    if (index >= reader.getSlices().size())
      continue;
    backward = reader;
    saved.push_back(
        {value, cast<OpResult>(stack), index, tensorBytes(stack.getType())});
  }
  if (!backward)
    return std::nullopt;
  RecomputePlan plan(forward, backward);
  plan.saved = std::move(saved);
  return plan;
}

const SavedValue *RecomputePlan::find(Value value) const {
  for (const SavedValue &candidate : saved)
    if (candidate.value == value)
      return &candidate;
  return nullptr;
}

bool RecomputePlan::collect(Value value, llvm::SetVector<Operation *> &ops) {
  if (!forward.getBody().isAncestor(value.getParentRegion()))
    return true;
  if (const SavedValue *known = find(value); known && !known->isRecomputed)
    return true;
  Operation *op = value.getDefiningOp();
  if (!op || !isPure(op) || op->getNumRegions())
    return false;
  if (ops.contains(op))
    return true;
  for (Value operand : op->getOperands())
    if (!collect(operand, ops))
      return false;
  ops.insert(op);
  return true;
}

static int64_t flopsOf(const llvm::SetVector<Operation *> &ops) {
  int64_t total = 0;
  for (Operation *op : ops)
    if (auto cost = dyn_cast<CostModelOpInterface>(op))
      total += cost.getFlops();
  return total;
}

SavedValue *RecomputePlan::cheapest() {
  SavedValue *best = nullptr;
  int64_t before = flopsOf(repeated);
  for (SavedValue &candidate : saved) {
    if (candidate.isRecomputed)
      continue;
    // What was kept may be an operand of what is repeated: all of it again.
    candidate.isRecomputed = true;
    llvm::SetVector<Operation *> ops;
    bool possible = llvm::all_of(saved, [&](const SavedValue &chosen) {
      return !chosen.isRecomputed || collect(chosen.value, ops);
    });
    candidate.isRecomputed = false;
    if (!possible)
      continue;
    candidate.flops = (flopsOf(ops) - before) * forward.getCount();
    // flops / bytes < best->flops / best->bytes, without rounding.
    auto product = [](int64_t a, int64_t b) {
      return static_cast<__int128>(a) * b;
    };
    __int128 mine = product(candidate.flops, best ? best->bytes : 0);
    __int128 other = product(best ? best->flops : 0, candidate.bytes);
    if (!best || mine < other ||
        (mine == other && candidate.bytes > best->bytes))
      best = &candidate;
  }
  return best;
}

void RecomputePlan::choose(SavedValue &value) {
  value.isRecomputed = true;
  repeated.clear();
  for (const SavedValue &chosen : saved)
    if (chosen.isRecomputed)
      collect(chosen.value, repeated);
}

int64_t RecomputePlan::savedBytes() const {
  int64_t total = 0;
  for (const SavedValue &value : saved)
    total += value.isRecomputed ? 0 : value.bytes;
  return total;
}

//===----------------------------------------------------------------------===//
// The rewriting
//===----------------------------------------------------------------------===//

/// Repeats the ops in the reverse body, in place of the chosen slices.
void RecomputePlan::recompute() {
  Block &body = backward.getBlock();
  IRMapping map;
  for (const SavedValue &value : saved)
    if (!value.isRecomputed)
      map.map(value.value, backward.getSliceArgs()[value.slice]);
  OpBuilder b = OpBuilder::atBlockBegin(&body);
  SmallVector<Operation *> clones;
  for (Operation *op : repeated) {
    Operation *clone = b.clone(*op, map);
    clones.push_back(clone);
    // A value that is saved all the same is read, not taken from its twin.
    for (auto [from, to] : llvm::zip(op->getResults(), clone->getResults()))
      if (const SavedValue *known = find(from); known && !known->isRecomputed)
        map.map(from, backward.getSliceArgs()[known->slice]);
  }
  for (const SavedValue &value : saved)
    if (value.isRecomputed)
      backward.getSliceArgs()[value.slice].replaceAllUsesWith(
          map.lookup(value.value));
  // As late as possible: what is recomputed should not live longer than it
  // must.
  for (Operation *clone : llvm::reverse(clones)) {
    Operation *first = nullptr;
    for (Operation *user : clone->getUsers())
      if (!first || user->isBeforeInBlock(first))
        first = user;
    if (first)
      clone->moveBefore(first);
  }
}

/// `layers` without the stacked results and slices of those numbers.
static LayersOp without(LayersOp layers, const llvm::BitVector &stacked,
                        const llvm::BitVector &slices) {
  OpBuilder b(layers);
  SmallVector<Type> types(layers.getCarriedResults().getTypes());
  SmallVector<Value> keptSlices, from(layers.getCarriedResults());
  for (auto [i, stack] : llvm::enumerate(layers.getStackedResults()))
    if (!stacked[i]) {
      types.push_back(stack.getType());
      from.push_back(stack);
    }
  llvm::append_range(types, layers.getStateResults().getTypes());
  llvm::append_range(from, layers.getStateResults());
  for (auto [i, slice] : llvm::enumerate(layers.getSlices()))
    if (!slices[i])
      keptSlices.push_back(slice);
  unsigned firstSlice = layers.getCarried().size();
  for (unsigned i = slices.size(); i-- > 0;)
    if (slices[i])
      layers.getBlock().eraseArgument(firstSlice + i);
  auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
  for (unsigned i = stacked.size(); i-- > 0;)
    if (stacked[i])
      yield.getStackedMutable().erase(i);
  auto result =
      LayersOp::create(b, layers.getLoc(), types, layers.getCarried(),
                       keptSlices, layers.getStates(), layers.getCount(),
                       layers.getBegin(), layers.getReverse());
  result->setDiscardableAttrs(layers->getDiscardableAttrDictionary());
  result.getBody().takeBody(layers.getBody());
  for (auto [old, now] : llvm::zip(from, result.getResults()))
    old.replaceAllUsesWith(now);
  layers.erase();
  return result;
}

void RecomputePlan::apply() {
  recompute();
  llvm::BitVector stacked(forward.getStackedResults().size());
  llvm::BitVector slices(backward.getSlices().size());
  unsigned firstStacked = forward.getCarried().size();
  for (const SavedValue &value : saved)
    if (value.isRecomputed) {
      stacked.set(value.stack.getResultNumber() - firstStacked);
      slices.set(value.slice);
    }
  // The reverse loop first: it reads the stacks that go away.
  backward = without(
      backward, llvm::BitVector(backward.getStackedResults().size()), slices);
  forward =
      without(forward, stacked, llvm::BitVector(forward.getSlices().size()));
  saved.clear();
}
