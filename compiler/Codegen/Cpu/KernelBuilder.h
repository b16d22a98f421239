//===- KernelBuilder.h - Builds the tasks of kernels ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What all emitters share: the task's frame, loops, loads and stores, rounding,
// reductions and mathematical functions. Numbers and offsets are i64; values
// are scalars or vectors of any number of lanes (LLVM splits what is wider than
// a register). No op carries fast-math flags unless said so.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_KERNELBUILDER_H
#define QWEN_COMPILER_CODEGEN_CPU_KERNELBUILDER_H

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"

namespace qwen::cpu {

/// Lanes that emitters work in by default: one AVX-512 register of f32.
inline constexpr int64_t kLanes = 16;

class KernelBuilder {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;

  /// Creates task `index` of `kernel` in `module`; what is built next becomes
  /// its body. Pointers and extents are loaded at its entry.
  KernelBuilder(kernel::FuncOp kernel, int64_t index, const CpuTarget &target,
                mlir::ModuleOp module);

  /// Builds the body of `helper`, a function without one that tasks call.
  KernelBuilder(mlir::func::FuncOp helper, const CpuTarget &target);

  mlir::OpBuilder b;
  mlir::Location loc;
  const CpuTarget &target;

  /// The task's function and its name.
  mlir::func::FuncOp function() { return func; }
  std::string symbol() { return func.getSymName().str(); }
  /// The task itself, for KernelCode.
  Task task(mlir::AffineMap units, int64_t grain) {
    return {symbol(), units, grain};
  }

  // The frame.
  Value begin() { return func.getArgument(1); }
  Value end() { return func.getArgument(2); }
  Value scratch() { return func.getArgument(3); }
  /// Pointers of the kernel's arguments and results, and of the workspace.
  Value argument(unsigned index) { return arguments[index]; }
  Value result(unsigned index) { return results[index]; }
  Value workspace() { return workspacePointer; }
  /// Extents (i64).
  Value batch() { return batchSize; }
  Value sequence() { return sequenceSize; }
  Value rows() { return rowCount; }
  /// Uninitialised memory of the task, 64-byte aligned, allocated at its entry.
  Value alloca(int64_t bytes);

  // Types.
  mlir::FloatType f32() { return b.getF32Type(); }
  mlir::VectorType vectorType(Type element, int64_t lanes) {
    return mlir::VectorType::get({lanes}, element);
  }
  /// `element`, or a vector of it with the lanes of `like` if that is a vector.
  Type typeLike(Type element, Type like);
  /// The element type of a vector, or the type itself.
  static Type elementType(Value value);
  /// Lanes of a vector; 0 for a scalar.
  static int64_t lanesOf(Value value);

  // Constants.
  Value i64(int64_t value);
  Value i32(int32_t value);
  Value i1(bool value);
  /// A number of type `type`: float, integer, or a vector (all lanes the same).
  Value constant(Type type, double value);
  Value f32(double value) { return constant(f32(), value); }
  /// A number with the type of `like`.
  Value constantLike(Value like, double value) {
    return constant(like.getType(), value);
  }
  /// 0, 1, 2, ... in i32.
  Value laneNumbers(int64_t lanes);

  // Integers. Constants fold.
  Value addI(Value lhs, Value rhs);
  Value addI(Value lhs, int64_t rhs);
  Value subI(Value lhs, Value rhs);
  Value mulI(Value lhs, Value rhs);
  Value mulI(Value lhs, int64_t rhs);
  Value divI(Value lhs, Value rhs); // of non-negative numbers
  Value remI(Value lhs, Value rhs);
  Value minI(Value lhs, Value rhs);
  Value maxI(Value lhs, Value rhs);
  Value cmpI(mlir::arith::CmpIPredicate predicate, Value lhs, Value rhs);
  /// i32 to i64, with sign.
  Value toI64(Value value);

  // Floats, scalars or vectors.
  Value add(Value lhs, Value rhs);
  Value sub(Value lhs, Value rhs);
  Value mul(Value lhs, Value rhs);
  Value div(Value lhs, Value rhs);
  Value neg(Value value);
  /// lhs * rhs + addend, rounded once.
  Value fma(Value lhs, Value rhs, Value addend);
  /// The larger one; NaN if either is one.
  Value maximum(Value lhs, Value rhs);
  Value cmpF(mlir::arith::CmpFPredicate predicate, Value lhs, Value rhs);
  Value select(Value condition, Value lhs, Value rhs);

  // Functions of f32, scalars or vectors: relative error about 1e-7, NaN and
  // infinities as in libm. cos and sin are libm calls, one a lane.
  Value exp(Value x);
  Value log(Value x);
  Value tanh(Value x);
  Value erf(Value x);
  Value sqrt(Value x);
  /// 1 / sqrt(x), both rounded.
  Value rsqrt(Value x);
  Value abs(Value x);
  /// 1 / (1 + exp(-x)).
  Value sigmoid(Value x);
  Value cos(Value x);
  Value sin(Value x);

  // Memory. `offset` (i64, may be null for 0) counts elements of `type`'s
  // element type; every access is aligned to its element only.
  Value pointerAt(Value pointer, Type element, Value offset);
  /// `pointer` + bytes.
  Value advance(Value pointer, int64_t bytes);
  Value load(Type type, Value pointer, Value offset = {});
  void store(Value value, Value pointer, Value offset = {});
  /// Lanes whose bit in `mask` is off are not touched and read as 0.
  Value maskedLoad(mlir::VectorType type, Value pointer, Value offset,
                   Value mask);
  void maskedStore(Value value, Value pointer, Value offset, Value mask);
  /// The first `count` (i64) of `lanes` lanes.
  Value tailMask(Value count, int64_t lanes);
  /// load, then widen; narrow, then store. `element` is the type in memory.
  Value loadF32(Type element, int64_t lanes, Value pointer, Value offset = {});
  Value maskedLoadF32(Type element, int64_t lanes, Value pointer, Value offset,
                      Value mask);
  void storeF32(Value value, Type element, Value pointer, Value offset = {});
  void maskedStoreF32(Value value, Type element, Value pointer, Value offset,
                      Value mask);
  /// Copies `bytes` (i64) bytes between places that do not overlap.
  void copy(Value to, Value from, Value bytes);

  // Rounding and vectors.
  /// bf16 or f16 to f32; f32 as it is.
  Value widen(Value value);
  /// f32 to `element` (bf16, f16 or f32), to nearest even.
  Value narrow(Value value, Type element);
  /// A scalar in all lanes.
  Value splat(Value scalar, int64_t lanes);
  Value extract(Value vector, int64_t lane);
  /// The sum (the largest) of all lanes of an f32 vector, in a fixed order. The
  /// number of lanes is a power of two.
  Value sumLanes(Value vector);
  Value maxLanes(Value vector);
  /// `vector` as a vector or scalar of another element type of the same width.
  Value bitcast(Value value, Type element);

  // Control. The induction variable is i64; `body` builds inside.
  void forLoop(Value lower, Value upper, int64_t step,
               llvm::function_ref<void(Value)> body);
  /// With values carried from one iteration to the next.
  llvm::SmallVector<Value>
  forLoop(Value lower, Value upper, int64_t step, mlir::ValueRange inits,
          llvm::function_ref<llvm::SmallVector<Value>(Value, mlir::ValueRange)>
              body);
  void ifThen(Value condition, llvm::function_ref<void()> then,
              llvm::function_ref<void()> otherwise = nullptr);
  /// The values of one of two branches.
  llvm::SmallVector<Value>
  ifElse(Value condition, llvm::function_ref<llvm::SmallVector<Value>()> then,
         llvm::function_ref<llvm::SmallVector<Value>()> otherwise);

  /// Lowers one elementwise op (arith or math, on tensors) to its operands'
  /// scalars or vectors; null if the op is not an elementwise one.
  Value elementwise(mlir::Operation *op, mlir::ValueRange operands);
  /// The value of a splat constant tensor, as a scalar; null for others.
  Value splatConstant(mlir::arith::ConstantOp op);

private:
  /// Target attributes, entry block and return of `func`.
  void beginBody();
  /// Calls an LLVM intrinsic.
  Value intrinsic(llvm::StringRef name, Type type, mlir::ValueRange operands);
  /// Whether instructions for 16 f32 lanes of AVX-512 take `value`.
  bool isFullVector(Value value) {
    return target.level >= CpuTarget::V4 && lanesOf(value) == kLanes;
  }
  /// Coefficients from the highest power down, by Horner's rule.
  Value polynomial(Value x, llvm::ArrayRef<double> coefficients);

  mlir::func::FuncOp func;
  llvm::SmallVector<Value> arguments, results;
  Value workspacePointer, batchSize, sequenceSize, rowCount;
};

/// Whether KernelBuilder::elementwise can lower `op`.
bool isElementwise(mlir::Operation *op);

/// Number of units: a constant, or an expression of the extents.
mlir::AffineMap constantUnits(mlir::MLIRContext *context, int64_t units);
/// ceil(rows * scale / divisor).
mlir::AffineMap rowUnits(mlir::MLIRContext *context, int64_t scale = 1,
                         int64_t divisor = 1);

/// Units per chunk such that a chunk moves about 32 KiB.
int64_t grainFor(int64_t bytesPerUnit);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_KERNELBUILDER_H
