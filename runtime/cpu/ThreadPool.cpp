//===- ThreadPool.cpp - Parallel work of one device -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cpu/ThreadPool.h"

#include <algorithm>
#include <chrono>
#include <immintrin.h>

using namespace qrt;

namespace {

constexpr int kChunkBits = 24;
constexpr uint64_t kChunkMask = (uint64_t(1) << kChunkBits) - 1;
/// Stands for "the next call is being written": no chunk can be claimed.
constexpr uint64_t kClosed = kChunkMask;
/// Pauses before an idle thread starts to yield, and yields before it sleeps. A
/// pause is some 40 to 140 cycles, so spinning lasts about 50 us: longer than
/// the serial gap between two kernels of a step.
constexpr int kSpins = 1500;
constexpr int kYields = 200;

/// Waits a little longer each time: pause, then give the processor away.
struct Backoff {
  int count = 0;
  bool exhausted() const { return count > kSpins + kYields; }
  void step() {
    if (count++ < kSpins)
      _mm_pause();
    else
      std::this_thread::yield();
  }
};

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

} // namespace

ThreadPool::ThreadPool(int threads) : workerSpans(std::max(threads, 1)) {
  for (int i = 1; i < threads; ++i)
    workers.emplace_back([this, i] { workerMain(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex);
    stop.store(true);
  }
  wake.notify_all();
  for (std::thread &worker : workers)
    worker.join();
}

void ThreadPool::setScratch(void *base, int64_t stride) {
  scratchBase = static_cast<char *>(base);
  scratchStride = stride;
}

/// Takes chunks of call `jobId` until none is left or another call has begun. A
/// chunk is claimed by a compare-exchange on the ticket. The ticket is closed
/// before the fields of the next call are written; so if the fields read here
/// were already new, the exchange fails, and if it succeeds they are this
/// call's, which cannot end before its claimed chunks have.
void ThreadPool::work(uint64_t jobId, int worker) {
  const char *name = nullptr;
  int64_t begin = 0;
  uint64_t seen = ticket.load(std::memory_order_acquire);
  while (seen >> kChunkBits == jobId) {
    uint64_t chunk = seen & kChunkMask;
    if (chunk >= job.chunks.load(std::memory_order_acquire))
      break;
    qrt_task task = job.task.load(std::memory_order_acquire);
    void *args = job.args.load(std::memory_order_acquire);
    int64_t n = job.n.load(std::memory_order_acquire);
    int64_t grain = job.grain.load(std::memory_order_acquire);
    if (!ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire))
      continue;
    if (!begin && profiling.load(std::memory_order_relaxed)) {
      name = job.name.load(std::memory_order_relaxed);
      begin = now();
    }
    int64_t first = static_cast<int64_t>(chunk) * grain;
    task(args, first, std::min(n, first + grain), scratchOf(worker));
    // The last chunk of a worker ends its span, before the caller may go on and
    // read the spans.
    if (begin)
      addSpan(worker, name, begin);
    finishedChunks.fetch_add(1, std::memory_order_release);
    seen = ticket.load(std::memory_order_acquire);
  }
}

/// Notes that `worker` has worked on `name` from `begin` until now; chunks of
/// one call are one span.
void ThreadPool::addSpan(int worker, const char *name, int64_t begin) {
  std::vector<WorkSpan> &list = workerSpans[worker].list;
  if (!list.empty() && list.back().begin == begin)
    list.back().end = now();
  else
    list.push_back({name, worker, begin, now()});
}

void ThreadPool::enableProfile(bool enable) {
  profiling.store(enable, std::memory_order_relaxed);
}

std::vector<WorkSpan> ThreadPool::spans() const {
  std::vector<WorkSpan> result;
  for (const SpanList &each : workerSpans)
    result.insert(result.end(), each.list.begin(), each.list.end());
  return result;
}

void ThreadPool::clearSpans() {
  for (SpanList &each : workerSpans)
    each.list.clear();
}

void ThreadPool::workerMain(int index) {
  uint64_t done = 0;
  Backoff backoff;
  for (;;) {
    uint64_t seen = ticket.load(std::memory_order_acquire);
    uint64_t jobId = seen >> kChunkBits;
    if (jobId != done && (seen & kChunkMask) != kClosed) {
      work(jobId, index);
      done = jobId;
      backoff = Backoff();
      continue;
    }
    if (stop.load(std::memory_order_relaxed))
      return;
    if (!backoff.exhausted()) {
      backoff.step();
      continue;
    }
    // Announce the sleep before the last look at the ticket; parallelFor looks
    // at `sleepers` after it has published, so one of the two sees the other.
    std::unique_lock<std::mutex> lock(mutex);
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    wake.wait(lock, [&] {
      return stop.load() ||
             ticket.load(std::memory_order_seq_cst) >> kChunkBits != done;
    });
    sleepers.fetch_sub(1, std::memory_order_relaxed);
    backoff = Backoff();
  }
}

void ThreadPool::parallelFor(const char *name, qrt_task task, void *args,
                             int64_t n, int64_t grain) {
  if (n <= 0)
    return;
  bool timed = profiling.load(std::memory_order_relaxed);
  int64_t begin = timed ? now() : 0;
  // Neighbouring units share what a task has packed or read: as few chunks as
  // still even out what the workers get. A coarser grain changes no result.
  constexpr int64_t kChunksPerWorker = 8;
  int64_t most = static_cast<int64_t>(workers.size() + 1) * kChunksPerWorker;
  grain = std::max({grain, int64_t(1), (n - 1) / most + 1});
  uint64_t chunks = static_cast<uint64_t>((n - 1) / grain + 1);
  if (workers.empty() || chunks == 1) {
    task(args, 0, n, scratchOf(0));
    if (timed)
      addSpan(0, name, begin);
  } else {
    // The previous call is complete; only a late worker may still look at the
    // fields, and after the ticket is closed it cannot claim anything.
    uint64_t jobId = (ticket.load(std::memory_order_relaxed) >> kChunkBits) + 1;
    ticket.store(jobId << kChunkBits | kClosed, std::memory_order_seq_cst);
    finishedChunks.store(0, std::memory_order_relaxed);
    job.task.store(task, std::memory_order_release);
    job.args.store(args, std::memory_order_release);
    job.name.store(name, std::memory_order_relaxed);
    job.n.store(n, std::memory_order_release);
    job.grain.store(grain, std::memory_order_release);
    job.chunks.store(chunks, std::memory_order_release);
    ticket.store(jobId << kChunkBits, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) {
      {
        std::lock_guard<std::mutex> lock(mutex);
      }
      wake.notify_all();
    }
    work(jobId, 0);
    Backoff backoff;
    while (finishedChunks.load(std::memory_order_acquire) != chunks)
      backoff.step();
  }
  if (timed) {
    Sum &sum = times[name];
    ++sum.calls;
    sum.seconds += double(now() - begin) * 1e-9;
  }
}

std::vector<KernelTime> ThreadPool::profile() const {
  // Two modules may hold equal names at different addresses.
  std::map<std::string, Sum> byName;
  for (const auto &[name, sum] : times) {
    Sum &total = byName[name ? name : "(unnamed)"];
    total.calls += sum.calls;
    total.seconds += sum.seconds;
  }
  std::vector<KernelTime> result;
  for (const auto &[name, sum] : byName)
    result.push_back({name, sum.calls, sum.seconds});
  std::sort(result.begin(), result.end(),
            [](const KernelTime &a, const KernelTime &b) {
              return a.seconds > b.seconds;
            });
  return result;
}
