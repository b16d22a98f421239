//===- Nccl.h - NVIDIA's library of collectives -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Our own declarations of the few entry points of libnccl.so.2 that are used,
// so that building needs no NCCL. Names and values are those of NCCL's API.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_NCCL_H
#define QWEN_RUNTIME_COMM_NCCL_H

#include "runtime/core/DType.h"
#include "runtime/core/Error.h"
#include "runtime/cuda/Driver.h"

#include <memory>
#include <string>

namespace qrt::nccl {

using Result = int;
using Comm = struct ncclComm *;
using Stream = cuda::CUstream;
/// What the first rank makes and all others need to meet it.
struct UniqueId {
  char internal[128];
};

constexpr Result kSuccess = 0, kInProgress = 7;
constexpr int kSum = 0, kMax = 2;
/// ncclCommSplit, which groups of ranks are made by, exists since 2.18.
constexpr int kOldestVersion = 21800;

/// The number of a type in NCCL.
int typeOf(DType type);

/// The functions of NCCL.
struct Library {
  /// Errors: Q9023 with what to do: no NCCL, one that is too old.
  static Expected<std::shared_ptr<const Library>>
  open(const std::string &file = "libnccl.so.2");

  /// "unhandled cuda error (...)": what a result means.
  std::string describe(Result result) const;

#define QRT_NCCL_FUNCTION(member, symbol, parameters)                          \
  Result(*member) parameters = nullptr;
#include "runtime/comm/NcclFunctions.def"
#undef QRT_NCCL_FUNCTION
  const char *(*errorString)(Result) = nullptr;
  const char *(*lastError)(Comm) = nullptr;

  /// Never closed: NCCL has threads that run its code.
  void *handle = nullptr;
};

} // namespace qrt::nccl

#endif // QWEN_RUNTIME_COMM_NCCL_H
