//===- Ranks.h - Who this process is among the ranks of a job ---*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_RANKS_H
#define QWEN_RUNTIME_COMM_RANKS_H

#include "runtime/core/Error.h"

#include <functional>
#include <optional>
#include <string>

namespace qrt {

/// What the user gave on the command line.
struct RankFlags {
  std::optional<int> rank, ranks;
  std::string rendezvous; ///< HOST:PORT; empty: not given
};

/// The place of this process in a job.
struct RankInfo {
  int rank = 0, ranks = 1;
  int localRank = 0;      ///< among those of this machine, where it is known
  int localRanks = 0;     ///< of this machine; 0: not known
  std::string rendezvous; ///< HOST:PORT of rank 0; empty: not known
  std::string source;     ///< who said so: "flags", "torchrun", ...
};

/// The variables that are read, or an empty function for the process's own.
using ReadVariable = std::function<const char *(const char *name)>;

/// Flags, then the variables of torchrun, Open MPI, SLURM and Kubernetes: the
/// first complete set wins. Nothing: none of them says anything. Errors: Q9002
/// (a set is incomplete and none is complete), Q9003 (flags contradict the
/// variables), Q9004 (a value is no number in range).
Expected<std::optional<RankInfo>> findRanks(const RankFlags &flags,
                                            const ReadVariable &read = {});

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_RANKS_H
