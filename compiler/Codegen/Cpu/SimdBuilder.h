//===- SimdBuilder.h - Index arithmetic and 16-lane vectors -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The vocabulary of the emitters whose loops run over blocks of matrices:
// products, attention, cross entropy. Plain names are index arithmetic (i64),
// names that end in F are floats, in V vectors of 16 lanes of f32.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_SIMDBUILDER_H
#define QWEN_COMPILER_CODEGEN_CPU_SIMDBUILDER_H

#include "compiler/Codegen/Cpu/KernelBuilder.h"

namespace qwen::cpu {

class SimdBuilder : public KernelBuilder {
public:
  using KernelBuilder::KernelBuilder;
  using Values = llvm::SmallVector<mlir::Value>;
  using Predicate = mlir::arith::CmpIPredicate;

  mlir::VectorType vec(Type element) { return vectorType(element, kLanes); }

  // Indices. Never negative where they are divided.
  Value cst(int64_t value) { return i64(value); }
  Value add(Value lhs, Value rhs) { return addI(lhs, rhs); }
  Value add(Value lhs, int64_t rhs) { return addI(lhs, rhs); }
  Value sub(Value lhs, Value rhs) { return subI(lhs, rhs); }
  Value mul(Value lhs, Value rhs) { return mulI(lhs, rhs); }
  Value mul(Value lhs, int64_t rhs) { return mulI(lhs, rhs); }
  Value div(Value lhs, Value rhs) { return divI(lhs, rhs); }
  Value div(Value lhs, int64_t rhs) { return divI(lhs, cst(rhs)); }
  Value ceilDiv(Value lhs, int64_t rhs) { return div(add(lhs, rhs - 1), rhs); }
  Value roundUp(Value lhs, int64_t to) { return mul(ceilDiv(lhs, to), to); }
  Value roundDown(Value lhs, int64_t to) { return mul(div(lhs, to), to); }
  Value rem(Value lhs, Value rhs) { return remI(lhs, rhs); }
  Value rem(Value lhs, int64_t rhs) { return remI(lhs, cst(rhs)); }
  Value min(Value lhs, Value rhs) { return minI(lhs, rhs); }
  Value min(Value lhs, int64_t rhs) { return minI(lhs, cst(rhs)); }
  Value max(Value lhs, Value rhs) { return maxI(lhs, rhs); }
  Value lt(Value lhs, Value rhs) { return cmpI(Predicate::slt, lhs, rhs); }
  Value le(Value lhs, Value rhs) { return cmpI(Predicate::sle, lhs, rhs); }
  Value ge(Value lhs, Value rhs) { return cmpI(Predicate::sge, lhs, rhs); }
  Value eq(Value lhs, Value rhs) { return cmpI(Predicate::eq, lhs, rhs); }
  Value ne(Value lhs, Value rhs) { return cmpI(Predicate::ne, lhs, rhs); }
  Value both(Value lhs, Value rhs);
  Value toI32(Value index);

  // Floats, scalars or vectors.
  Value addF(Value lhs, Value rhs) { return KernelBuilder::add(lhs, rhs); }
  Value subF(Value lhs, Value rhs) { return KernelBuilder::sub(lhs, rhs); }
  Value mulF(Value lhs, Value rhs) { return KernelBuilder::mul(lhs, rhs); }
  Value divF(Value lhs, Value rhs) { return KernelBuilder::div(lhs, rhs); }
  /// rhs > lhs ? rhs : lhs. One instruction; NaN in lhs stays.
  Value maxF(Value lhs, Value rhs);
  /// `value` rounded to `element`, still in f32.
  Value roundTo(Value value, Type element);

  // 16 lanes.
  Value splat(Value scalar) { return KernelBuilder::splat(scalar, kLanes); }
  Value splat(double value) { return constant(vec(f32()), value); }
  /// The lanes i < count (i64, any value).
  Value mask(Value count) { return tailMask(count, kLanes); }
  /// Elements of `element` in memory as f32; lanes outside `mask` (null: none)
  /// are not touched and read as 0.
  Value loadV(Type element, Value address, Value mask = {});
  void storeV(Value value, Type element, Value address, Value mask = {});
  /// One element of `element` as f32.
  Value loadF(Type element, Value address);
  Value shuffle(Value lhs, Value rhs, llvm::ArrayRef<int64_t> lanes);
  /// Transposes 16 vectors of 16 lanes.
  void transpose(llvm::MutableArrayRef<Value> rows);

  // Memory. `index` counts elements.
  Value at(Value base, Value index, Type element) {
    return pointerAt(base, element, index);
  }
  Value at(Value base, int64_t index, Type element) {
    return advance(base, index * element.getIntOrFloatBitWidth() / 8);
  }
  Value at(Value base, Value index) { return at(base, index, f32()); }
  /// Sets `count` floats to `value`.
  void fill(Value address, Value count, double value);

  // Loops.
  using Body = llvm::function_ref<void(Value)>;
  void loop(Value begin, Value end, int64_t step, Body body) {
    forLoop(begin, end, step, body);
  }
  void loop(Value end, int64_t step, Body body) {
    forLoop(cst(0), end, step, body);
  }
  Values loop(Value begin, Value end, int64_t step, mlir::ValueRange carried,
              llvm::function_ref<Values(Value, mlir::ValueRange)> body) {
    return forLoop(begin, end, step, carried, body);
  }
  /// Whole groups of 16 below `end`, then the rest with a mask (null before).
  void lanes(Value end, llvm::function_ref<void(Value, Value)> body);
  void when(Value condition, llvm::function_ref<void()> then,
            llvm::function_ref<void()> otherwise = nullptr) {
    ifThen(condition, then, otherwise);
  }
};

/// Finds or creates a function that tasks of `target` call. If it is new (the
/// second value), the caller has to build its body.
std::pair<mlir::func::FuncOp, bool>
getOrCreateHelper(mlir::ModuleOp module, const CpuTarget &target,
                  llvm::StringRef name, mlir::TypeRange arguments);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_SIMDBUILDER_H
