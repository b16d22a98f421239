//===- PinnedMemory.h - Copies that the host need not wait for --*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDA_PINNEDMEMORY_H
#define QWEN_RUNTIME_CUDA_PINNEDMEMORY_H

#include "runtime/cuda/Driver.h"

#include <deque>
#include <functional>
#include <vector>

namespace qrt::cuda {

/// Makes an Error of a failed driver call; `what` says what was tried.
using MakeError = std::function<Error(CUresult result, const char *what)>;

/// Copies between the host and one stream through page-locked memory, which the
/// GPU reads and writes by itself while the host goes on. A ring holds what is
/// on its way up: a place is used again when its copy has been made. What comes
/// down stays in a second block until drain().
class PinnedMemory {
public:
  PinnedMemory(const Driver &driver, CUstream stream, MakeError error)
      : driver(driver), stream(stream), error(std::move(error)) {}
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory &) = delete;
  PinnedMemory &operator=(const PinnedMemory &) = delete;

  /// `bytes` of each of the two blocks.
  Status create(int64_t bytes);

  /// Queues the copy; `from` may change as soon as this returns.
  Status upload(CUdeviceptr to, const void *from, int64_t bytes);
  /// Queues the copy; `to` is written by drain() at the latest.
  Status download(void *to, CUdeviceptr from, int64_t bytes);
  /// Waits for the stream and hands out what has come down.
  Status drain();

private:
  struct Region {
    int64_t begin, end;
    CUevent copied;
  };
  struct Result {
    void *to;
    int64_t offset, bytes;
  };
  /// Waits until nothing on its way lies in [begin, end).
  Status reclaim(int64_t begin, int64_t end);

  const Driver &driver;
  CUstream stream;
  MakeError error;
  char *up = nullptr, *down = nullptr;
  int64_t capacity = 0, head = 0, used = 0;
  std::deque<Region> regions; ///< in the order of their copies
  std::vector<CUevent> idleEvents;
  std::vector<Result> results;
};

} // namespace qrt::cuda

#endif // QWEN_RUNTIME_CUDA_PINNEDMEMORY_H
