//===- ThreadPool.h - Parallel work of one device ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Work is handed out in chunks from one atomic counter, so that a slow or
// descheduled thread delays a call by one chunk at most. The calling thread
// works too; a call ends when all chunks are done, not when all threads have
// noticed it. Idle threads spin, then yield, then sleep.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CPU_THREADPOOL_H
#define QWEN_RUNTIME_CPU_THREADPOOL_H

#include "runtime/abi/qwen_module.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace qrt {

/// Time spent in one kernel (or outside all of them), for --profile.
struct KernelTime {
  std::string name;
  int64_t calls = 0;
  double seconds = 0;
};

/// One worker's part of one parallelFor: from its first chunk to its last.
/// Times are steady-clock nanoseconds.
struct WorkSpan {
  const char *name;
  int worker;
  int64_t begin, end;
};

class ThreadPool {
public:
  /// `threads` counts the calling thread: threads - 1 are started.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  int threads() const { return static_cast<int>(workers.size()) + 1; }

  /// Private memory of the workers: worker i gets base + i * stride. `stride`
  /// is a multiple of 64. Not while a call runs.
  void setScratch(void *base, int64_t stride);

  /// Runs `task` over [0, n) in chunks of at least `grain` units and returns
  /// when all are done. Only from one thread at a time.
  void parallelFor(const char *name, qrt_task task, void *args, int64_t n,
                   int64_t grain);

  /// From now on the time of every parallelFor is added up by kernel name.
  void enableProfile(bool enable);
  /// The sums so far, longest first.
  std::vector<KernelTime> profile() const;
  void clearProfile() { times.clear(); }

  /// What every worker did while profiling was on, since clearSpans(), worker
  /// by worker in the order of time. Neither while a call runs.
  std::vector<WorkSpan> spans() const;
  void clearSpans();

private:
  /// One call. Fields are atomic because a late worker may read them while the
  /// next call writes them; its claim then fails (see work()).
  struct Job {
    std::atomic<qrt_task> task{nullptr};
    std::atomic<void *> args{nullptr};
    std::atomic<const char *> name{nullptr};
    std::atomic<int64_t> n{0}, grain{1};
    std::atomic<uint64_t> chunks{0};
  };

  void workerMain(int index);
  void work(uint64_t jobId, int worker);
  void addSpan(int worker, const char *name, int64_t begin);
  void *scratchOf(int worker) const {
    return scratchBase + worker * scratchStride;
  }

  std::vector<std::thread> workers;
  Job job;
  /// Number of the call in the high bits, next chunk in the low ones.
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<uint64_t> finishedChunks{0};
  alignas(64) std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable wake;
  char *scratchBase = nullptr;
  int64_t scratchStride = 0;
  std::atomic<bool> profiling{false};
  /// Of each worker, written by it alone.
  struct alignas(64) SpanList {
    std::vector<WorkSpan> list;
  };
  std::vector<SpanList> workerSpans;
  struct Sum {
    int64_t calls = 0;
    double seconds = 0;
  };
  std::map<const char *, Sum> times;
};

} // namespace qrt

#endif // QWEN_RUNTIME_CPU_THREADPOOL_H
