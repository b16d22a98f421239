//===- Pipeline.h - The passes of each phase --------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_PIPELINE_PIPELINE_H
#define QWEN_COMPILER_PIPELINE_PIPELINE_H

#include <string>

#include "compiler/Pipeline/Phases.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/PassManager.h"

namespace qwen {

struct PipelineOptions {
  /// The target of phases after `shard`: one of targetNames().
  std::string target = "cpu";
  /// The value of --cpu: which levels are emitted.
  std::string cpu = "native";
  /// Whether the module can train.
  bool train = true;
  /// Bytes that a function may save for its backward pass; -1: no limit.
  int64_t savedBytes = -1;
  /// infer.weights: the form in which inference reads weights, "int8" or
  /// "int4"; anything else is the parameters' own type.
  std::string weights;
  /// Bytes that the arena of an entry may need; 0: no limit.
  int64_t arenaBudget = 0;
};

/// Appends the passes of `phase`, the last of which verifies what its row in
/// the list of phases says. Import and module are no passes: they make the IR
/// and write the file.
void buildPhase(Phase phase, mlir::OpPassManager &pm,
                const PipelineOptions &options);

/// Registers every dialect that occurs in some phase.
void registerQwenDialects(mlir::DialectRegistry &registry);

/// Registers our passes and, under `qwen-phase-<name>`, the pipeline of each
/// phase with default options.
void registerQwenPasses();

} // namespace qwen

#endif // QWEN_COMPILER_PIPELINE_PIPELINE_H
