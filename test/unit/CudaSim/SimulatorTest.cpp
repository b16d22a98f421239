//===- SimulatorTest.cpp - Simulated kernels and their faults -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cudasim/Simulator.h"

#include <cstring>
#include <random>

#include "gtest/gtest.h"

using namespace qrt;
using namespace qrt::cudasim;

using ThreadFunction = void (*)(const qrt_sim_thread *, void *const *);

/// Runs a kernel of one-dimensional blocks; the fault in words.
static std::string launch(ThreadFunction function, uint32_t blocks,
                          uint32_t threads, uint32_t shared,
                          std::vector<void *> params, int hostThreads = 2,
                          bool findRaces = true) {
  ThreadPool pool(hostThreads);
  Simulator simulator(pool, findRaces);
  qrt_kernel kernel = {};
  kernel.name = "k";
  kernel.block[0] = threads;
  kernel.block[1] = kernel.block[2] = 1;
  kernel.shared_bytes = shared;
  kernel.thread = function;
  uint32_t grid[3] = {blocks, 1, 1};
  Status status = simulator.launch(kernel, grid, params.data());
  return status ? "" : status.error().str();
}

template <typename T> static T param(void *const *params, int index) {
  return *static_cast<T *>(params[index]);
}

/// Shared memory with the check that compiled kernels call.
template <typename T>
static T loadShared(const qrt_sim_thread *t, uint32_t index) {
  auto *address = reinterpret_cast<T *>(t->shared) + index;
  t->api->access(t, address, sizeof(T), QRT_SIM_READ);
  return *address;
}
template <typename T>
static void storeShared(const qrt_sim_thread *t, uint32_t index, T value) {
  auto *address = reinterpret_cast<T *>(t->shared) + index;
  t->api->access(t, address, sizeof(T), QRT_SIM_WRITE);
  *address = value;
}

/// out[block] = sum of the block's threads' numbers plus the block's, with
/// shuffles within warps and shared memory between them.
static void sumKernel(const qrt_sim_thread *t, void *const *params) {
  auto *out = param<float *>(params, 0);
  float value = t->thread[0] + t->block[0];
  for (uint32_t offset = 16; offset; offset /= 2) {
    uint32_t bits, valid;
    std::memcpy(&bits, &value, 4);
    bits =
        t->api->shuffle(t, ~0u, bits, offset, 31, QRT_SIM_SHUFFLE_BFLY, &valid);
    float other;
    std::memcpy(&other, &bits, 4);
    value += other;
  }
  if (t->lane == 0)
    storeShared(t, t->warp, value);
  t->api->barrier(t, 0, 0);
  float sum = 0;
  for (uint32_t w = 0; w < t->block_dim[0] / 32; ++w)
    sum += loadShared<float>(t, w);
  if (t->thread[0] == t->block_dim[0] - 1)
    out[t->block[0]] = sum;
}

TEST(CudaSim, ShufflesAndBarriers) {
  for (int hostThreads : {1, 3}) {
    std::vector<float> out(50);
    float *pointer = out.data();
    ASSERT_EQ(launch(sumKernel, 50, 128, 16, {&pointer}, hostThreads), "");
    for (int i = 0; i < 50; ++i)
      EXPECT_EQ(out[i], 127 * 64 + 128 * i);
  }
}

TEST(CudaSim, OutsideOfSharedMemory) {
  float *pointer = nullptr;
  EXPECT_EQ(launch(sumKernel, 2, 128, 12, {&pointer}),
            "error: kernel k: block (0, 0, 0): thread 96: access to 4 bytes at "
            "12 of 12 bytes of shared memory [Q6042]");
}

TEST(CudaSim, Deadlock) {
  auto early = [](const qrt_sim_thread *t, void *const *) {
    if (t->thread[0] >= 40)
      t->api->barrier(t, 3, 0);
  };
  EXPECT_EQ(launch(early, 1, 64, 0, {}),
            "error: kernel k: block (0, 0, 0): deadlock: 40 threads (the first "
            "is 0) have ended; 24 threads (the first is 40) wait at barrier 3 "
            "for 64 threads [Q6042]");
  auto divergent = [](const qrt_sim_thread *t, void *const *) {
    if (t->lane == 7)
      t->api->barrier(t, 0, 0);
    t->api->warp_sync(t, ~0u);
    t->api->barrier(t, 0, 0);
  };
  EXPECT_NE(launch(divergent, 1, 32, 0, {})
                .find("wait in bar.warp.sync for "
                      "lanes 0xffffffff of warp 0"),
            std::string::npos);
  auto foreign = [](const qrt_sim_thread *t, void *const *) {
    t->api->vote(t, 0xf, 1, QRT_SIM_VOTE_ALL);
  };
  EXPECT_NE(launch(foreign, 1, 32, 0, {})
                .find("thread 4: lane 4 is not among the lanes 0x0000000f"),
            std::string::npos);
}

TEST(CudaSim, Races) {
  // Every thread reads its neighbour's word without a barrier.
  auto read = [](const qrt_sim_thread *t, void *const *params) {
    storeShared<float>(t, t->thread[0], 1);
    if (param<int>(params, 0))
      t->api->barrier(t, 0, 0);
    loadShared<float>(t, (t->thread[0] + 1) % t->block_dim[0]);
  };
  int withBarrier = 1, without = 0;
  EXPECT_EQ(launch(read, 1, 64, 256, {&withBarrier}), "");
  EXPECT_EQ(launch(read, 1, 64, 256, {&without}),
            "error: kernel k: block (0, 0, 0): thread 1: race in shared "
            "memory at byte 4: thread 1 writes what thread 0 read without a "
            "barrier between [Q6042]");
  EXPECT_EQ(launch(read, 1, 64, 256, {&without}, 1, /*findRaces=*/false), "");
  // A word that all have read is written again; 16-bit neighbours are apart.
  auto reuse = [](const qrt_sim_thread *t, void *const *params) {
    storeShared<uint16_t>(t, t->thread[0], 1);
    t->api->barrier(t, 0, 0);
    loadShared<uint16_t>(t, 5);
    if (param<int>(params, 0) == 1)
      t->api->barrier(t, 0, 0);
    if (param<int>(params, 0) == 2)
      t->api->warp_sync(t, ~0u);
    if (t->thread[0] == 7)
      storeShared<uint16_t>(t, 5, 2);
  };
  int warpOnly = 2;
  EXPECT_EQ(launch(reuse, 1, 64, 128, {&withBarrier}), "");
  EXPECT_EQ(launch(reuse, 1, 32, 64, {&warpOnly}), "");
  EXPECT_NE(launch(reuse, 1, 32, 64, {&without}).find("race"),
            std::string::npos);
  EXPECT_NE(launch(reuse, 1, 64, 128, {&warpOnly})
                .find("thread 7 writes what threads of several warps read"),
            std::string::npos);
}

TEST(CudaSim, AsynchronousCopies) {
  // Two groups of four words a thread; the first is read when one is pending.
  auto kernel = [](const qrt_sim_thread *t, void *const *params) {
    auto *in = param<uint32_t *>(params, 0),
         *out = param<uint32_t *>(params, 1);
    uint32_t i = t->thread[0], n = t->block_dim[0];
    for (uint32_t g = 0; g < 2; ++g) {
      t->api->copy_async(t, t->shared + 16 * (g * n + i), in + 4 * (g * n + i),
                         16, g == 0 ? 16 : 8);
      t->api->copy_commit(t);
    }
    t->api->copy_wait(t, param<int>(params, 2));
    t->api->barrier(t, 0, 0);
    uint32_t from = (i + 1) % n;
    for (uint32_t word = 0; word < 4; ++word) {
      out[4 * i + word] = loadShared<uint32_t>(t, 4 * from + word);
      out[4 * (n + i) + word] = loadShared<uint32_t>(t, 4 * (n + from) + word);
    }
  };
  alignas(16) uint32_t in[512];
  std::vector<uint32_t> out(512);
  for (uint32_t i = 0; i < 512; ++i)
    in[i] = i;
  uint32_t *from = in, *to = out.data();
  for (int pending : {0, 1, 2}) {
    ASSERT_EQ(launch(kernel, 1, 64, 2048, {&from, &to, &pending}), "");
    for (uint32_t i = 0; i < 64; ++i)
      for (uint32_t word = 0; word < 4; ++word) {
        uint32_t source = 4 * ((i + 1) % 64) + word;
        // What has not arrived is a pattern of ones.
        EXPECT_EQ(out[4 * i + word], pending < 2 ? source : ~0u);
        EXPECT_EQ(out[256 + 4 * i + word],
                  pending > 0 ? ~0u : (word < 2 ? 256 + source : 0));
      }
  }
}

TEST(CudaSim, Votes) {
  auto kernel = [](const qrt_sim_thread *t, void *const *params) {
    auto *out = param<uint32_t *>(params, 0);
    // The halves of the warp work apart.
    uint32_t mask = t->lane < 16 ? 0x0000ffff : 0xffff0000;
    out[t->lane] = t->api->vote(t, mask, t->lane % 3 == 0, QRT_SIM_VOTE_BALLOT);
    out[32 + t->lane] = t->api->redux(t, mask, t->lane, QRT_SIM_REDUX_ADD);
    uint32_t valid;
    out[64 + t->lane] =
        t->api->shuffle(t, ~0u, t->lane, 3, 0, QRT_SIM_SHUFFLE_UP, &valid);
    out[96 + t->lane] = valid;
  };
  std::vector<uint32_t> out(128);
  uint32_t *pointer = out.data();
  ASSERT_EQ(launch(kernel, 1, 32, 0, {&pointer}), "");
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(out[lane], lane < 16 ? 0x00009249u : 0x49240000u);
    EXPECT_EQ(out[32 + lane], lane < 16 ? 120u : 376u);
    EXPECT_EQ(out[64 + lane], lane < 3 ? lane : lane - 3);
    EXPECT_EQ(out[96 + lane], lane < 3 ? 0u : 1u);
  }
}
