//===- ThreadPoolTest.cpp - Tests of the thread pool ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cpu/ThreadPool.h"
#include "runtime/cpu/ChromeTrace.h"
#include "runtime/cpu/CpuFeatures.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>

using namespace qrt;

namespace {

struct Counts {
  std::vector<std::atomic<int>> seen;
  std::vector<std::pair<char *, int64_t>> scratch;
  explicit Counts(size_t n) : seen(n) {}
};

void countTask(void *raw, int64_t begin, int64_t end, void *) {
  auto &counts = *static_cast<Counts *>(raw);
  for (int64_t i = begin; i < end; ++i)
    counts.seen[i].fetch_add(1, std::memory_order_relaxed);
}

TEST(ThreadPool, EveryUnitRunsOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t n : {0, 1, 2, 7, 64, 1000})
      for (int64_t grain : {1, 3, 64, 5000}) {
        Counts counts(n);
        pool.parallelFor("count", countTask, &counts, n, grain);
        for (auto &count : counts.seen)
          ASSERT_EQ(count.load(), 1) << n << " " << grain;
      }
  }
}

TEST(ThreadPool, ManyShortCalls) {
  // Late workers meet the next call: fields of two calls must never mix.
  ThreadPool pool(4);
  for (int call = 0; call < 20000; ++call) {
    int64_t n = 1 + call % 9;
    std::vector<int64_t> result(n, -1);
    struct Item {
      int64_t *out;
      int64_t call;
    } item{result.data(), call};
    pool.parallelFor(
        "short",
        [](void *raw, int64_t begin, int64_t end, void *) {
          auto *item = static_cast<Item *>(raw);
          for (int64_t i = begin; i < end; ++i)
            item->out[i] = item->call + i;
        },
        &item, n, 1);
    for (int64_t i = 0; i < n; ++i)
      ASSERT_EQ(result[i], call + i);
  }
}

TEST(ThreadPool, WakesSleepers) {
  ThreadPool pool(3);
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    Counts counts(100);
    pool.parallelFor("count", countTask, &counts, 100, 1);
    for (auto &count : counts.seen)
      ASSERT_EQ(count.load(), 1);
  }
}

TEST(ThreadPool, MoreChunksThanTheCounterHolds) {
  ThreadPool pool(2);
  std::atomic<int64_t> total{0};
  int64_t n = (int64_t(1) << 25) + 12345;
  pool.parallelFor(
      "many",
      [](void *raw, int64_t begin, int64_t end, void *) {
        static_cast<std::atomic<int64_t> *>(raw)->fetch_add(end - begin);
      },
      &total, n, 1);
  EXPECT_EQ(total.load(), n);
}

TEST(ThreadPool, ScratchIsPrivateAndAligned) {
  ThreadPool pool(3);
  alignas(64) static char memory[3 * 128];
  pool.setScratch(memory, 128);
  std::atomic<int> bad{0};
  pool.parallelFor(
      "scratch",
      [](void *raw, int64_t begin, int64_t, void *scratch) {
        auto offset = static_cast<char *>(scratch) - memory;
        bool good = offset >= 0 && offset < 3 * 128 && offset % 128 == 0;
        // Two workers in one scratch would overwrite each other's marks.
        auto *words = static_cast<volatile int64_t *>(scratch);
        for (int i = 0; i < 16; ++i)
          words[i] = begin;
        std::this_thread::yield();
        for (int i = 0; i < 16; ++i)
          good &= words[i] == begin;
        if (!good)
          static_cast<std::atomic<int> *>(raw)->fetch_add(1);
      },
      &bad, 500, 1);
  EXPECT_EQ(bad.load(), 0);
}

TEST(ThreadPool, ProfileAddsUpByName) {
  ThreadPool pool(2);
  pool.enableProfile(true);
  Counts counts(10);
  for (int i = 0; i < 3; ++i)
    pool.parallelFor("a", countTask, &counts, 10, 1);
  pool.parallelFor("b", countTask, &counts, 10, 1);
  auto times = pool.profile();
  ASSERT_EQ(times.size(), 2u);
  auto a = std::find_if(times.begin(), times.end(),
                        [](auto &time) { return time.name == "a"; });
  ASSERT_NE(a, times.end());
  EXPECT_EQ(a->calls, 3);
  EXPECT_GE(a->seconds, 0);
}

TEST(ThreadPool, SpansCoverEveryCallOnce) {
  ThreadPool pool(2);
  pool.enableProfile(true);
  Counts counts(64);
  pool.parallelFor("before", countTask, &counts, 64, 1);
  pool.clearSpans();
  for (int i = 0; i < 3; ++i)
    pool.parallelFor("a", countTask, &counts, 64, 1);
  pool.parallelFor("single", countTask, &counts, 1, 1);
  pool.enableProfile(false);
  pool.parallelFor("after", countTask, &counts, 64, 1);
  std::map<std::string, int> calls;
  std::map<int, int64_t> last;
  for (const WorkSpan &span : pool.spans()) {
    ++calls[span.name];
    EXPECT_LE(span.begin, span.end);
    EXPECT_LE(last[span.worker], span.begin);
    last[span.worker] = span.end;
  }
  // One span for each worker that got a chunk.
  EXPECT_EQ(calls.size(), 2u);
  EXPECT_GE(calls["a"], 3);
  EXPECT_LE(calls["a"], 6);
  EXPECT_EQ(calls["single"], 1);
}

TEST(ChromeTrace, NamesTasksWorkersAndKernels) {
  auto document = nlohmann::json::parse(chromeTrace(
      {{"prefill", {{"linear", 0, 5000, 7000}, {"linear", 1, 5500, 6000}}},
       {"decode", {{"gemv", 0, 9000, 9500}}}}));
  std::vector<nlohmann::json> spans;
  for (const auto &event : document.at("traceEvents"))
    if (event.at("ph") == "X")
      spans.push_back(event);
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[1].at("name"), "linear");
  EXPECT_EQ(spans[1].at("tid"), 1);
  EXPECT_DOUBLE_EQ(spans[1].at("ts"), 0.5);
  EXPECT_DOUBLE_EQ(spans[1].at("dur"), 0.5);
  EXPECT_EQ(spans[2].at("pid"), 1);
  EXPECT_DOUBLE_EQ(spans[2].at("ts"), 0);
}

TEST(CpuFeatures, KnowsTheBaselineAndRefusesTheUnknown) {
  EXPECT_EQ(missingCpuFeatures({"sse2", "64bit"}).size(), 0u);
  auto missing = missingCpuFeatures({"sse2", "no-such-feature"});
  ASSERT_EQ(missing.size(), 1u);
  EXPECT_EQ(missing[0], "no-such-feature");
  EXPECT_GE(availableProcessors(), 1);
}

} // namespace
