//===- Block.cpp - The threads of one block as fibers ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cudasim/Block.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

using namespace qrt;
using namespace qrt::cudasim;

const qrt_sim_api BlockRunner::kApi = {
    apiBarrier,  apiWarpSync,   apiShuffle,   apiVote,
    apiRedux,    apiAccess,     apiCopyAsync, apiCopyCommit,
    apiCopyWait, apiLoadMatrix, apiMmaBf16};

//===----------------------------------------------------------------------===//
// Scheduling
//===----------------------------------------------------------------------===//

std::string BlockRunner::prepare(const qrt_kernel &newKernel,
                                 const uint32_t grid[3],
                                 const uint32_t block[3]) {
  kernel = &newKernel;
  const uint32_t *size = kernel->block;
  numThreads = size[0] * size[1] * size[2];
  if (numThreads == 0 || numThreads > 1024)
    return fmt::format("{} threads in a block", numThreads);
  if (!stacks.reserve(numThreads))
    return "out of memory for the stacks of its threads";
  shared.reset(kernel->shared_bytes);
  threads.resize(std::max<size_t>(threads.size(), numThreads));
  warps.resize(
      std::max<size_t>(warps.size(), (numThreads + kWarpSize - 1) / kWarpSize));
  ready.clear();
  for (uint32_t i = 0; i < numThreads; ++i) {
    Thread &thread = threads[i];
    thread.api = &kApi;
    thread.shared = shared.data();
    thread.thread[0] = i % size[0];
    thread.thread[1] = i / size[0] % size[1];
    thread.thread[2] = i / size[0] / size[1];
    for (int d = 0; d < 3; ++d) {
      thread.block[d] = block[d];
      thread.block_dim[d] = size[d];
      thread.grid_dim[d] = grid[d];
    }
    thread.lane = i % kWarpSize;
    thread.warp = i / kWarpSize;
    thread.runner = this;
    thread.number = i;
    thread.fiber = makeFiber(stacks.top(i), threadMain, &thread);
    thread.wait = Wait::None;
    thread.copies.clear();
    ready.push_back(i);
  }
  for (Warp &warp : warps) {
    warp.groups.clear();
    warp.synchronisations = 0;
  }
  for (Barrier &each : barriers)
    each.waiting.clear();
  numEnded = 0;
  ++epoch;
  fault.clear();
  return {};
}

std::string BlockRunner::run(const qrt_kernel &newKernel,
                             const uint32_t grid[3], const uint32_t block[3],
                             void *const *newParams, bool newFindRaces) {
  params = newParams;
  findRaces = newFindRaces;
  std::string error = prepare(newKernel, grid, block);
  if (!error.empty())
    return error;
  uint32_t first = ready.front();
  ready.pop_front();
  switchFiber(caller, threads[first].fiber);
  if (fault.empty() && numEnded != numThreads)
    fault = describeDeadlock();
  return fault;
}

void BlockRunner::threadMain(void *argument) {
  auto &thread = *static_cast<Thread *>(argument);
  BlockRunner &runner = *thread.runner;
  runner.kernel->thread(&thread, runner.params);
  ++runner.numEnded;
  thread.wait = Wait::End;
  runner.suspend(thread);
}

void BlockRunner::suspend(Thread &thread) {
  if (ready.empty()) {
    // All threads have ended, or those that have not wait for each other.
    switchFiber(thread.fiber, caller);
    return;
  }
  uint32_t next = ready.front();
  ready.pop_front();
  switchFiber(thread.fiber, threads[next].fiber);
}

void BlockRunner::fail(const Thread &thread, const std::string &message) {
  fault = fmt::format("thread {}: {}", thread.number, message);
  Fiber dropped;
  switchFiber(dropped, caller);
  __builtin_unreachable();
}

std::string BlockRunner::describeDeadlock() const {
  static const char *const kNames[] = {"bar.warp.sync", "shfl.sync",
                                       "vote.sync",     "redux.sync",
                                       "ldmatrix",      "mma.sync"};
  // Threads by what they wait for, in the order of the first one.
  std::vector<std::pair<std::string, std::vector<uint32_t>>> groups;
  for (uint32_t i = 0; i < numThreads; ++i) {
    const Thread &thread = threads[i];
    std::string what;
    if (thread.wait == Wait::End)
      what = "have ended";
    else if (thread.wait == Wait::Barrier)
      what = fmt::format("wait at barrier {} for {} threads", thread.barrier,
                         barriers[thread.barrier].count);
    else
      what = fmt::format("wait in {} for lanes {:#010x} of warp {}",
                         kNames[static_cast<int>(thread.call.op)],
                         thread.call.mask, thread.warp);
    auto it = std::find_if(groups.begin(), groups.end(),
                           [&](auto &group) { return group.first == what; });
    if (it == groups.end())
      it = groups.insert(groups.end(), {what, {}});
    it->second.push_back(i);
  }
  std::string text = "deadlock";
  for (size_t i = 0; i < groups.size(); ++i)
    text += fmt::format("{} {} threads (the first is {}) {}", i ? ";" : ":",
                        groups[i].second.size(), groups[i].second.front(),
                        groups[i].first);
  return text;
}

//===----------------------------------------------------------------------===//
// Warps
//===----------------------------------------------------------------------===//

LaneOperands &BlockRunner::join(Thread &thread, const WarpCall &call,
                                const LaneOperands &operands) {
  if (!(call.mask >> thread.lane & 1))
    fail(thread, fmt::format("lane {} is not among the lanes {:#010x} that it "
                             "works with",
                             thread.lane, call.mask));
  Warp &warp = warps[thread.warp];
  warp.lanes[thread.lane] = operands;
  auto group = std::find_if(warp.groups.begin(), warp.groups.end(),
                            [&](Group &each) { return each.call == call; });
  if (group == warp.groups.end())
    group = warp.groups.insert(warp.groups.end(), {call, 0});
  group->arrived |= 1u << thread.lane;
  if (group->arrived != call.mask) {
    thread.wait = Wait::Warp;
    thread.call = call;
    suspend(thread);
    return warp.lanes[thread.lane];
  }
  warp.groups.erase(group);
  complete(thread, warp, call);
  for (uint32_t lane = kWarpSize; lane-- > 0;)
    if (call.mask >> lane & 1 && lane != thread.lane) {
      uint32_t number = thread.warp * kWarpSize + lane;
      threads[number].wait = Wait::None;
      ready.push_front(number);
    }
  return warp.lanes[thread.lane];
}

void BlockRunner::complete(Thread &last, Warp &warp, const WarpCall &call) {
  switch (call.op) {
  case WarpOp::Sync:
    ++warp.synchronisations;
    return;
  case WarpOp::Shuffle: {
    int undefined = shuffleLanes(warp.lanes, call.mask,
                                 static_cast<qrt_sim_shuffle>(call.detail));
    if (undefined >= 0)
      fail(last, fmt::format("lane {} shuffles from a lane that is not among "
                             "{:#010x}",
                             undefined, call.mask));
    return;
  }
  case WarpOp::Vote:
    voteLanes(warp.lanes, call.mask, static_cast<qrt_sim_vote>(call.detail));
    return;
  case WarpOp::Redux:
    reduceLanes(warp.lanes, call.mask, static_cast<qrt_sim_redux>(call.detail));
    return;
  case WarpOp::LoadMatrix:
    loadMatrices(warp.lanes, call.detail >> 1, call.detail & 1);
    return;
  case WarpOp::Mma:
    multiplyBf16(warp.lanes);
    return;
  }
}

static constexpr uint32_t kAllLanes = ~0u;

void BlockRunner::apiWarpSync(const qrt_sim_thread *thread, uint32_t mask) {
  Thread &t = self(thread);
  t.runner->join(t, {WarpOp::Sync, mask, 0}, {});
}

uint32_t BlockRunner::apiShuffle(const qrt_sim_thread *thread, uint32_t mask,
                                 uint32_t value, uint32_t offset,
                                 uint32_t clamp, uint32_t kind,
                                 uint32_t *valid) {
  Thread &t = self(thread);
  LaneOperands operands;
  operands.value = value;
  operands.offset = offset;
  operands.clamp = clamp;
  LaneOperands &done =
      t.runner->join(t, {WarpOp::Shuffle, mask, kind}, operands);
  *valid = done.result[1];
  return done.result[0];
}

uint32_t BlockRunner::apiVote(const qrt_sim_thread *thread, uint32_t mask,
                              uint32_t predicate, uint32_t kind) {
  Thread &t = self(thread);
  LaneOperands operands;
  operands.value = predicate;
  return t.runner->join(t, {WarpOp::Vote, mask, kind}, operands).result[0];
}

uint32_t BlockRunner::apiRedux(const qrt_sim_thread *thread, uint32_t mask,
                               uint32_t value, uint32_t kind) {
  Thread &t = self(thread);
  LaneOperands operands;
  operands.value = value;
  return t.runner->join(t, {WarpOp::Redux, mask, kind}, operands).result[0];
}

void BlockRunner::apiLoadMatrix(const qrt_sim_thread *thread, const void *row,
                                uint32_t count, uint32_t transposed,
                                uint32_t *result) {
  Thread &t = self(thread);
  if (t.lane < 8 * count) {
    if (reinterpret_cast<uintptr_t>(row) % 16)
      t.runner->fail(t, "ldmatrix of a row that is not aligned to 16 bytes");
    t.runner->access(t, row, 16, QRT_SIM_READ);
  }
  LaneOperands operands;
  operands.row = row;
  LaneOperands &done = t.runner->join(
      t, {WarpOp::LoadMatrix, kAllLanes, count << 1 | transposed}, operands);
  std::copy(done.result, done.result + count, result);
}

void BlockRunner::apiMmaBf16(const qrt_sim_thread *thread, const uint32_t *a,
                             const uint32_t *b, const float *c, float *result) {
  Thread &t = self(thread);
  LaneOperands operands;
  operands.a = a;
  operands.b = b;
  operands.c = c;
  operands.product = result;
  t.runner->join(t, {WarpOp::Mma, kAllLanes, 0}, operands);
}

//===----------------------------------------------------------------------===//
// Barriers and shared memory
//===----------------------------------------------------------------------===//

void BlockRunner::barrier(Thread &thread, uint32_t id, uint32_t count) {
  if (id >= kBarriers)
    fail(thread, fmt::format("barrier {} of {}", id, kBarriers));
  // The race check knows barriers of the whole block only.
  if (count != 0 && count != numThreads)
    fail(thread, fmt::format("barrier {} of {} of the block's {} threads is "
                             "not simulated",
                             id, count, numThreads));
  Barrier &place = barriers[id];
  place.count = numThreads;
  if (place.waiting.size() + 1 < place.count) {
    place.waiting.push_back(thread.number);
    thread.wait = Wait::Barrier;
    thread.barrier = id;
    suspend(thread);
    return;
  }
  ++epoch;
  std::sort(place.waiting.rbegin(), place.waiting.rend());
  for (uint32_t number : place.waiting) {
    threads[number].wait = Wait::None;
    ready.push_front(number);
  }
  place.waiting.clear();
}

void BlockRunner::apiBarrier(const qrt_sim_thread *thread, uint32_t id,
                             uint32_t count) {
  Thread &t = self(thread);
  t.runner->barrier(t, id, count);
}

void BlockRunner::access(Thread &thread, const void *address, uint32_t bytes,
                         qrt_sim_access kind) {
  Time now = {epoch, warps[thread.warp].synchronisations};
  std::string message =
      shared.check(address, bytes, kind, thread.number, now, findRaces);
  if (!message.empty())
    fail(thread, message);
}

void BlockRunner::apiAccess(const qrt_sim_thread *thread, const void *address,
                            uint32_t bytes, uint32_t kind) {
  Thread &t = self(thread);
  t.runner->access(t, address, bytes, static_cast<qrt_sim_access>(kind));
}

void BlockRunner::apiCopyAsync(const qrt_sim_thread *thread, void *destination,
                               const void *source, uint32_t bytes,
                               uint32_t sourceBytes) {
  Thread &t = self(thread);
  if (reinterpret_cast<uintptr_t>(source) % bytes && sourceBytes)
    t.runner->fail(t, fmt::format("cp.async of {} bytes from an address that "
                                  "is not a multiple of them",
                                  bytes));
  if (reinterpret_cast<uintptr_t>(destination) % bytes)
    t.runner->fail(t, fmt::format("cp.async of {} bytes to an address that is "
                                  "not a multiple of them",
                                  bytes));
  // The bytes may arrive at any time from now on: what reads them before the
  // wait finds a pattern that is NaN.
  t.runner->access(t, destination, bytes, QRT_SIM_WRITE);
  std::memset(destination, 0xff, bytes);
  if (t.copies.empty())
    t.copies.emplace_back();
  t.copies.back().push_back(
      {destination, source, bytes, std::min(bytes, sourceBytes)});
}

void BlockRunner::apiCopyCommit(const qrt_sim_thread *thread) {
  Thread &t = self(thread);
  if (t.copies.empty())
    t.copies.emplace_back();
  t.copies.emplace_back();
}

void BlockRunner::apiCopyWait(const qrt_sim_thread *thread, uint32_t pending) {
  Thread &t = self(thread);
  while (t.copies.size() > pending + 1u) {
    for (const Copy &copy : t.copies.front()) {
      t.runner->access(t, copy.destination, copy.bytes, QRT_SIM_WRITE);
      std::memset(copy.destination, 0, copy.bytes);
      std::memcpy(copy.destination, copy.source, copy.sourceBytes);
    }
    t.copies.pop_front();
  }
}
