//===- SimdBuilder.cpp - Index arithmetic and 16-lane vectors -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/SimdBuilder.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

Value SimdBuilder::both(Value lhs, Value rhs) {
  return arith::AndIOp::create(b, loc, lhs, rhs);
}

Value SimdBuilder::toI32(Value index) {
  return arith::TruncIOp::create(b, loc, b.getI32Type(), index);
}

Value SimdBuilder::maxF(Value lhs, Value rhs) {
  return select(cmpF(arith::CmpFPredicate::OGT, rhs, lhs), rhs, lhs);
}

Value SimdBuilder::roundTo(Value value, Type element) {
  return widen(narrow(value, element));
}

Value SimdBuilder::loadV(Type element, Value address, Value mask) {
  return mask ? maskedLoadF32(element, kLanes, address, {}, mask)
              : loadF32(element, kLanes, address);
}

void SimdBuilder::storeV(Value value, Type element, Value address, Value mask) {
  if (mask)
    maskedStoreF32(value, element, address, {}, mask);
  else
    storeF32(value, element, address);
}

Value SimdBuilder::loadF(Type element, Value address) {
  return widen(load(element, address));
}

Value SimdBuilder::shuffle(Value lhs, Value rhs, ArrayRef<int64_t> lanes) {
  return vector::ShuffleOp::create(b, loc, lhs, rhs, lanes);
}

// Four rounds: rows at distance 1, 2, 4 and 8 exchange blocks of that many
// lanes. The first two rounds stay inside 128-bit lanes.
void SimdBuilder::transpose(MutableArrayRef<Value> rows) {
  for (int64_t distance = 1; distance < kLanes; distance *= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < kLanes; ++i) {
      bool odd = (i / distance) % 2;
      low.push_back(odd ? kLanes + i - distance : i);
      high.push_back(odd ? kLanes + i : i + distance);
    }
    for (int64_t r = 0; r < kLanes; ++r) {
      if ((r / distance) % 2)
        continue;
      Value first = rows[r], second = rows[r + distance];
      rows[r] = shuffle(first, second, low);
      rows[r + distance] = shuffle(first, second, high);
    }
  }
}

void SimdBuilder::fill(Value address, Value count, double value) {
  Value lanesOf = splat(value);
  lanes(count, [&](Value i, Value mask) {
    storeV(lanesOf, f32(), at(address, i), mask);
  });
}

void SimdBuilder::lanes(Value end,
                        llvm::function_ref<void(Value, Value)> body) {
  Value whole = roundDown(end, kLanes);
  loop(whole, kLanes, [&](Value i) { body(i, {}); });
  when(lt(whole, end), [&] { body(whole, mask(sub(end, whole))); });
}

std::pair<func::FuncOp, bool> cpu::getOrCreateHelper(ModuleOp module,
                                                     const CpuTarget &target,
                                                     StringRef name,
                                                     TypeRange arguments) {
  std::string symbol = (name + target.symbolSuffix).str();
  if (auto existing = module.lookupSymbol<func::FuncOp>(symbol))
    return {existing, false};
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  auto fn = func::FuncOp::create(builder, module.getLoc(), symbol,
                                 builder.getFunctionType(arguments, {}));
  fn->setAttr("passthrough",
              builder.getArrayAttr(builder.getStringAttr("noinline")));
  return {fn, true};
}
