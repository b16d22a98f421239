//===- MachineLimits.cpp - What this machine can reach --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cpu/MachineLimits.h"
#include "runtime/cpu/CpuFeatures.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <immintrin.h>

using namespace qrt;

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Results are folded in here so that no measured loop is dead code.
std::atomic<uint64_t> sink{0};

struct ReadArgs {
  const char *base;
};

constexpr int64_t kReadBlock = 1 << 20;

/// Units are blocks of 1 MB; eight streams inside a block keep more requests in
/// flight than one.
__attribute__((target("avx2"))) void readTask(void *raw, int64_t begin,
                                              int64_t end, void *) {
  const char *base = static_cast<const ReadArgs *>(raw)->base;
  __m256i sum[8];
  for (__m256i &value : sum)
    value = _mm256_setzero_si256();
  constexpr int64_t kStream = kReadBlock / 8;
  for (int64_t block = begin; block < end; ++block)
    for (int64_t at = 0; at < kStream; at += 64)
      for (int s = 0; s < 8; ++s) {
        const char *p = base + block * kReadBlock + s * kStream + at;
        sum[s] = _mm256_xor_si256(
            sum[s], _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
        sum[s] = _mm256_xor_si256(
            sum[s],
            _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p + 32)));
      }
  uint64_t words[4];
  for (int s = 1; s < 8; ++s)
    sum[0] = _mm256_xor_si256(sum[0], sum[s]);
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(words), sum[0]);
  sink.fetch_xor(words[0] ^ words[1] ^ words[2] ^ words[3],
                 std::memory_order_relaxed);
}

/// Multiply-adds of one unit of a flops task, per lane and accumulator.
constexpr int kRounds = 20000;

__attribute__((target("avx512f"))) void fma512Task(void *, int64_t begin,
                                                   int64_t end, void *) {
  for (int64_t unit = begin; unit < end; ++unit) {
    __m512 acc[16];
    for (int i = 0; i < 16; ++i)
      acc[i] = _mm512_set1_ps(float(i + unit));
    __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
    for (int r = 0; r < kRounds; ++r)
      for (int i = 0; i < 16; ++i)
        acc[i] = _mm512_fmadd_ps(acc[i], a, b);
    for (int i = 1; i < 16; ++i)
      acc[0] = _mm512_add_ps(acc[0], acc[i]);
    sink.fetch_xor(uint64_t(_mm512_cvtss_f32(acc[0])));
  }
}

__attribute__((target("avx2,fma"))) void fma256Task(void *, int64_t begin,
                                                    int64_t end, void *) {
  for (int64_t unit = begin; unit < end; ++unit) {
    __m256 acc[12];
    for (int i = 0; i < 12; ++i)
      acc[i] = _mm256_set1_ps(float(i + unit));
    __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
    for (int r = 0; r < kRounds; ++r)
      for (int i = 0; i < 12; ++i)
        acc[i] = _mm256_fmadd_ps(acc[i], a, b);
    for (int i = 1; i < 12; ++i)
      acc[0] = _mm256_add_ps(acc[0], acc[i]);
    sink.fetch_xor(uint64_t(_mm256_cvtss_f32(acc[0])));
  }
}

__attribute__((target("amx-tile,amx-bf16"))) void amxTask(void *, int64_t begin,
                                                          int64_t end, void *) {
  // Palette 1; all eight tiles have 16 rows of 64 bytes.
  alignas(64) uint8_t config[64] = {1};
  for (int tile = 0; tile < 8; ++tile) {
    config[16 + 2 * tile] = 64;
    config[48 + tile] = 16;
  }
  _tile_loadconfig(config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t unit = begin; unit < end; ++unit)
    for (int r = 0; r < kRounds / 20; ++r) {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  _tile_release();
}

double bestSeconds(ThreadPool &pool, qrt_task task, void *args, int64_t units,
                   int repetitions) {
  double best = 1e30;
  for (int i = 0; i < repetitions; ++i) {
    auto begin = Clock::now();
    pool.parallelFor("limit", task, args, units, 1);
    best = std::min(best, secondsSince(begin));
  }
  return best;
}

} // namespace

MachineLimits qrt::measureMachineLimits(ThreadPool &pool,
                                        const void *readBuffer,
                                        int64_t readBytes, bool amxTiles) {
  MachineLimits limits;
  const auto &host = hostCpuFeatures();
  if (int64_t blocks = readBytes / kReadBlock;
      blocks > 0 && host.count("avx2")) {
    ReadArgs args{static_cast<const char *>(readBuffer)};
    limits.readBytesPerSecond = double(blocks * kReadBlock) /
                                bestSeconds(pool, readTask, &args, blocks, 5);
  }
  int64_t units = 32 * pool.threads();
  if (amxTiles && host.count("amx-bf16") && host.count("amx-tile")) {
    limits.flopsKind = "amx-bf16";
    double flops = double(units) * (kRounds / 20) * 4 * (2.0 * 16 * 16 * 32);
    limits.flopsPerSecond =
        flops / bestSeconds(pool, amxTask, nullptr, units, 5);
  } else if (host.count("avx512f")) {
    limits.flopsKind = "avx512-f32";
    double flops = double(units) * kRounds * 16 * 16 * 2;
    limits.flopsPerSecond =
        flops / bestSeconds(pool, fma512Task, nullptr, units, 5);
  } else if (host.count("avx2") && host.count("fma")) {
    limits.flopsKind = "avx2-f32";
    double flops = double(units) * kRounds * 12 * 8 * 2;
    limits.flopsPerSecond =
        flops / bestSeconds(pool, fma256Task, nullptr, units, 5);
  }
  return limits;
}
