//===- EntryEmitter.h - Host code of entry points ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An entry becomes a function (ctx, call) -> i32 that goes through the launches
// in order, with `qwen.layers` as loops, and computes the pointers of planned
// buffers. How a kernel is started is what a target adds.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_ENTRYEMITTER_H
#define QWEN_COMPILER_CODEGEN_ENTRYEMITTER_H

#include "dialects/Kernel/KernelDialect.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <functional>

namespace qwen::codegen {

/// The offset of a field of the ABI's structures, in pointers
/// (runtime/abi/qwen_module.h).
enum AbiField : int64_t {
  kCtxApi = 0,
  kApiParallelFor = 1,
  kApiCollectiveStart = 2,
  kApiCollectiveWait = 3,
  kApiLaunch = 4,
  kApiProduct = 5,
  kCallArgs = 0,
  kCallExtents = 1,
  kCallArena = 2,
};

class EntryEmitter {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;

  EntryEmitter(mlir::func::FuncOp entry, mlir::ModuleOp module,
               mlir::SymbolTable &symbols)
      : entry(entry), module(module), symbols(symbols), b(entry.getContext()),
        loc(entry.getLoc()) {}
  virtual ~EntryEmitter() = default;

  /// Emits the function `name` into the module.
  void emit(llvm::StringRef name);

protected:
  /// What a kernel gets: pointers of operands, results and workspace (null
  /// without one), and the numbers batch, sequence and rows (i64).
  struct Arguments {
    llvm::SmallVector<Value> operands, results;
    Value workspace, batch, sequence, rows;
  };

  /// At the entry's beginning.
  virtual void emitPrologue() = 0;
  virtual void emitLaunch(kernel::LaunchOp launch,
                          const Arguments &arguments) = 0;
  /// The entry's result (i32): the first error of a collective, or what a
  /// target adds.
  virtual Value emitStatus();

  Value constant(int64_t value);
  Value i32(int32_t value);
  Value loadField(Type type, Value base, int64_t field);
  /// The address of element `index` (of 8 bytes each) of `base`.
  Value slot(Value base, int64_t index);
  /// `map` without dimensions, of the symbols batch, sequence and rows: the
  /// least of its results, i64.
  Value evaluate(mlir::AffineMap map, const Arguments &arguments);
  /// Uninitialised memory for `count` words of 8 bytes.
  Value allocate(int64_t count);
  /// The most pointers and numbers that a launch of the entry passes.
  int64_t maxSlots();

  mlir::func::FuncOp entry;
  mlir::ModuleOp module;
  mlir::SymbolTable &symbols;
  mlir::OpBuilder b;
  mlir::Location loc;
  Type ptr, i64;
  Value ctx, api;

private:
  /// What of a loop moves buffers; null outside of loops.
  struct LoopState {
    Value layer, iteration;
    /// Emits the end of the iteration before, where there is one.
    std::function<void()> finishBefore;
  };

  void emitBlock(mlir::Block &block, const LoopState &loop);
  void emitLayers(LayersOp layers);
  /// Waits for what iteration `loop` has left under way, and runs its late ops.
  void finishIteration(mlir::Block &block, const LoopState &loop);
  /// Starts a collective, and waits for it unless a later op does. After an
  /// error the runtime refuses all others; the entry goes on to its end and
  /// returns the error.
  void emitCollective(mlir::Operation *op, const LoopState &loop);
  /// Waits for the oldest collective under way.
  void emitWait();
  /// Calls a function of the runtime and keeps its error.
  void callApi(int64_t field, llvm::SmallVector<Value> operands);
  /// The tokens of a row that a launch or collective works on.
  Value sequenceOf(mlir::Operation *op);
  /// The number of elements that a device gives, with the actual extents.
  Value collectiveCount(mlir::Operation *op);
  Arguments argumentsOf(kernel::LaunchOp launch, const LoopState &loop);
  Value index(kernel::LayerIndex kind, const LoopState &loop);
  Value pointer(kernel::BufferAttr buffer, const LoopState &loop);
  Value extent(Value extents, llvm::StringRef name);

  Value args, arena, batch, sequence;
  /// Of entries with collectives: the description of one, and the first error.
  Value description, status;
  int64_t nextCollective = 0;
};

} // namespace qwen::codegen

#endif // QWEN_COMPILER_CODEGEN_ENTRYEMITTER_H
