//===- Phases.cpp - The spine: one list of phases -------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline/Phases.h"

using namespace qwen;

static constexpr PhaseInfo kPhases[] = {
    {Phase::Import, "import",
     "the model file has become qwen ops; every op has a file:line:col "
     "location"},
    {Phase::Model, "model",
     "canonical, types inferred, linear_cross_entropy formed, the model "
     "verified"},
    {Phase::Autodiff, "autodiff",
     "(train) gradients and optimizer exist as ops; no gradient marker is "
     "left"},
    {Phase::Shard, "shard",
     "shapes are local, collectives explicit, in one total order on all ranks"},
    {Phase::Remat, "remat",
     "(train) which saved values are recomputed is chosen"},
    {Phase::Fuse, "fuse",
     "all compute is inside kernel.func, each exactly one kernel with its "
     "configuration chosen"},
    {Phase::Memory, "memory",
     "every buffer has an offset, the peak is known to the byte"},
    {Phase::Codegen, "codegen",
     "kernels and entry points are in the LLVM dialect, for each instruction "
     "set"},
    {Phase::Module, "module",
     "entry points, manifest and tables are linked into model.so"},
};

llvm::ArrayRef<PhaseInfo> qwen::allPhases() { return kPhases; }

llvm::StringRef qwen::stringifyPhase(Phase phase) {
  return kPhases[static_cast<unsigned>(phase)].name;
}

std::optional<Phase> qwen::symbolizePhase(llvm::StringRef name) {
  for (const PhaseInfo &info : kPhases)
    if (info.name == name)
      return info.phase;
  return std::nullopt;
}
