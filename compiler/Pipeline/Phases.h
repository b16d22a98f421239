//===- Phases.h - The spine: one list of phases -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The one list that drives --compile-to, --compile-from, --dump-phases-to,
// --list-phases and docs/phases.md.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_PIPELINE_PHASES_H
#define QWEN_COMPILER_PIPELINE_PHASES_H

#include <optional>

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

namespace qwen {

/// The phases in the order in which they run.
enum class Phase {
  Import,
  Model,
  Autodiff,
  Shard,
  Remat,
  Fuse,
  Memory,
  Codegen,
  Module
};

struct PhaseInfo {
  Phase phase;
  llvm::StringLiteral name;
  llvm::StringLiteral description; // what is true after it
};

/// All phases, in order.
llvm::ArrayRef<PhaseInfo> allPhases();

llvm::StringRef stringifyPhase(Phase phase);
std::optional<Phase> symbolizePhase(llvm::StringRef name);

} // namespace qwen

#endif // QWEN_COMPILER_PIPELINE_PHASES_H
