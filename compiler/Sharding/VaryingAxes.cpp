//===- VaryingAxes.cpp - Along which axes devices differ ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/VaryingAxes.h"

#include "compiler/Sharding/Annotations.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

static uint64_t maskOf(ArrayRef<int64_t> axes) {
  uint64_t mask = 0;
  for (int64_t axis : axes)
    mask |= uint64_t(1) << axis;
  return mask;
}

static uint64_t maskOf(ShardingAttr attr) {
  if (!attr)
    return 0;
  Sharding sharding = attr.getSharding();
  uint64_t mask = maskOf(sharding.partial);
  for (const Axes &axes : sharding.dims)
    mask |= maskOf(axes);
  return mask;
}

void VaryingAxes::add(Value value, uint64_t mask) {
  uint64_t &known = masks[value];
  changed |= (known | mask) != known;
  known |= mask;
}

VaryingAxes::VaryingAxes(func::FuncOp entry) {
  for (BlockArgument arg : entry.getArguments()) {
    unsigned i = arg.getArgNumber();
    uint64_t mask =
        maskOf(entry.getArgAttrOfType<ShardingAttr>(i, kShardingAttr));
    if (auto axes = entry.getArgAttrOfType<DenseI64ArrayAttr>(i, kAxesAttr))
      mask |= maskOf(axes.asArrayRef());
    add(arg, mask);
  }
  visit(entry.getBody().front());
}

void VaryingAxes::visit(Block &block) {
  for (Operation &op : block) {
    uint64_t all = 0;
    for (Value operand : op.getOperands())
      all |= of(operand);
    if (auto get = dyn_cast<GetParamOp>(op)) {
      auto param = SymbolTable::lookupNearestSymbolFrom<ParamOp>(
          get, get.getParamAttr());
      add(get.getResult(), maskOf(storedSharding(get, param)));
    } else if (auto layers = dyn_cast<LayersOp>(op)) {
      // An iteration takes what the one before it gives.
      auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
      SmallVector<Value> yielded(yield.getCarried());
      llvm::append_range(yielded, yield.getStacked());
      llvm::append_range(yielded, yield.getStates());
      do {
        changed = false;
        for (auto [operand, arg] :
             llvm::zip(op.getOperands(), layers.getBlock().getArguments()))
          add(arg, of(operand));
        visit(layers.getBlock());
        for (auto [arg, next] :
             llvm::zip(layers.getCarriedArgs(), yield.getCarried()))
          add(arg, of(next));
        for (auto [arg, next] :
             llvm::zip(layers.getStateArgs(), yield.getStates()))
          add(arg, of(next));
      } while (changed);
      for (auto [result, value] : llvm::zip(op.getResults(), yielded))
        add(result, of(value));
      for (auto [result, init] :
           llvm::zip(layers.getCarriedResults(), layers.getCarried()))
        add(result, of(init));
    } else if (isCollective(&op)) {
      uint64_t axes = maskOf(axesOf(&op));
      bool joins = isa<AllReduceOp, AllGatherOp>(op);
      add(op.getResult(0), joins ? all & ~axes : all | axes);
    } else {
      for (Value result : op.getResults())
        add(result, all);
    }
  }
}
