//===- Interpreter.h - The oracle of tests ----------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Says what a function of `qwen` or `kernel` ops means: decomposes it into
// elementary ops and computes one after the other on whole tensors.
//
// An interpreter rather than a lowering to loops and a just-in-time compiler:
// an oracle is trusted because it is read, so it is some hundred lines of the
// plainest C++ that share nothing with code generation. It starts at once, runs
// in f32, f64 or the mixed types of the module with every rounding in its
// place, and its speed suffices for the small shapes that tests have.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_ORACLE_INTERPRETER_H
#define QWEN_COMPILER_ORACLE_INTERPRETER_H

#include "compiler/Oracle/Tensor.h"
#include "dialects/Kernel/KernelDialect.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"

namespace qwen::oracle {

/// Parameters by symbol; those with layers are stacked.
using Parameters = llvm::StringMap<Tensor>;

/// Where the iteration of a qwen.layers stands.
struct LoopPosition {
  int64_t layer = -1;
  int64_t iteration = 0;
};

/// Sees every launch with its values.
class LaunchObserver {
public:
  virtual ~LaunchObserver() = default;
  /// `callee` has static types and kernel.inplace as fusion made it.
  virtual mlir::LogicalResult observe(kernel::LaunchOp launch,
                                      kernel::FuncOp callee, LoopPosition loop,
                                      llvm::ArrayRef<Tensor> operands,
                                      llvm::ArrayRef<Tensor> results) = 0;
};

/// Carries out the collectives of a device.
class CollectiveHandler {
public:
  virtual ~CollectiveHandler() = default;
  /// What this device gets from `op`, to which it gives `tensor`.
  virtual mlir::FailureOr<Tensor> run(mlir::Operation *op,
                                      const Tensor &tensor) = 0;
};

/// Runs functions of a module after makeElementary.
class Interpreter {
public:
  Interpreter(mlir::ModuleOp module, const Parameters &parameters,
              LaunchObserver *observer = nullptr,
              CollectiveHandler *collectives = nullptr)
      : symbols(module), parameters(parameters), observer(observer),
        collectives(collectives) {}

  /// The results of `func`; fails with a diagnostic on an op it does not know.
  mlir::FailureOr<std::vector<Tensor>> run(mlir::func::FuncOp func,
                                           llvm::ArrayRef<Tensor> inputs);

private:
  using Tensors = std::vector<Tensor>;
  using Values = llvm::DenseMap<mlir::Value, Tensor>;

  /// Computes all ops of `block` but its terminator.
  mlir::LogicalResult runBlock(mlir::Block &block);
  mlir::LogicalResult runLayers(LayersOp op);
  mlir::LogicalResult runLaunch(kernel::LaunchOp op);
  mlir::LogicalResult runCall(mlir::func::CallOp op);
  mlir::LogicalResult readParameter(GetParamOp op);
  Tensors read(mlir::ValueRange values);

  mlir::SymbolTable symbols;
  const Parameters &parameters;
  LaunchObserver *observer;
  CollectiveHandler *collectives;
  Values values;
  LoopPosition loop;
  int callDepth = 0;
};

} // namespace qwen::oracle

#endif // QWEN_COMPILER_ORACLE_INTERPRETER_H
