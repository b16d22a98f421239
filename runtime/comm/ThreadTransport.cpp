//===- ThreadTransport.cpp - Devices of one process -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/ThreadTransport.h"
#include "runtime/comm/Reduce.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

using namespace qrt;

/// The meeting point of one group. Every collective passes it twice: when all
/// ranks have shown their buffers, and when all have read the others'.
struct ThreadWorld::Group {
  struct Slot {
    qrt_collective collective{};
    const void *in = nullptr;
    void *out = nullptr;
    /// Meetings that this rank has come to; tells in an error who is missing.
    std::atomic<uint64_t> meetings{0};
  };
  explicit Group(int size) : slots(size) {}

  std::vector<Slot> slots;
  std::atomic<int> arrived{0};
  std::atomic<uint64_t> meeting{0}; ///< those that are over
  std::mutex mutex;
  std::condition_variable over;
};

struct ThreadWorld::Impl {
  Mesh mesh;
  double timeout;
  std::atomic<bool> aborted{false};
  std::mutex mutex; ///< of what follows
  int culprit = -1;
  std::string reason;
  /// By axes and first rank.
  std::map<std::pair<uint64_t, int>, std::unique_ptr<Group>> groups;

  Group &groupOf(uint64_t axes, const RankGroup &group) {
    std::lock_guard<std::mutex> lock(mutex);
    auto &place = groups[{axes, group.ranks[0]}];
    if (!place)
      place = std::make_unique<Group>(group.size());
    return *place;
  }
  Error abortError() {
    std::lock_guard<std::mutex> lock(mutex);
    return makeError(9013, "", "stopped because rank {} failed: {}", culprit,
                     reason);
  }
  Status meet(Group &place, const RankGroup &group,
              const qrt_collective &collective);
};

ThreadWorld::ThreadWorld(const Mesh &mesh, double timeoutSeconds)
    : impl(new Impl) {
  impl->mesh = mesh;
  impl->timeout = timeoutSeconds;
}
ThreadWorld::~ThreadWorld() = default;

void ThreadWorld::abort(int rank, const std::string &reason) {
  std::lock_guard<std::mutex> lock(impl->mutex);
  if (impl->aborted)
    return;
  impl->culprit = rank;
  impl->reason = reason;
  impl->aborted = true;
  for (auto &[key, group] : impl->groups) {
    // Under the lock nobody is between looking at the flag and sleeping.
    std::lock_guard<std::mutex> sleeping(group->mutex);
    group->over.notify_all();
  }
}

Status ThreadWorld::Impl::meet(Group &place, const RankGroup &group,
                               const qrt_collective &collective) {
  uint64_t number = place.meeting.load();
  place.slots[group.index].meetings.fetch_add(1);
  if (place.arrived.fetch_add(1) + 1 == group.size()) {
    place.arrived.store(0);
    {
      std::lock_guard<std::mutex> lock(place.mutex);
      place.meeting.store(number + 1);
    }
    place.over.notify_all();
    return aborted ? Status(abortError()) : Status::success();
  }
  // Others may need this processor to arrive, so no spinning: yield, then
  // sleep.
  for (int i = 0; i < 16 && place.meeting.load() == number; ++i)
    std::this_thread::yield();
  if (place.meeting.load() == number) {
    std::unique_lock<std::mutex> lock(place.mutex);
    bool inTime =
        place.over.wait_for(lock, std::chrono::duration<double>(timeout), [&] {
          return aborted || place.meeting.load() != number;
        });
    if (!inTime) {
      std::string missing;
      for (int i = 0; i < group.size(); ++i)
        if (place.slots[i].meetings.load() <= number)
          missing +=
              fmt::format("{}{}", missing.empty() ? "" : ", ", group.ranks[i]);
      return makeError(
          9014, "", "rank {} has not come to {} within {} s", missing,
          describe(collective, mesh.describe(collective.axes)), timeout);
    }
  }
  return aborted ? Status(abortError()) : Status::success();
}

namespace qrt {

class ThreadTransport : public Transport {
public:
  ThreadTransport(ThreadWorld::Impl &world, int rank)
      : world(world), all(world.mesh.group(rank, world.mesh.allAxes())) {}

  Status run(const qrt_collective &c, const RankGroup &group, const void *in,
             void *out) override {
    using Group = ThreadWorld::Group;
    Group *&known = places[c.axes];
    if (!known)
      known = &world.groupOf(c.axes, group);
    Group &place = *known;
    Group::Slot &mine = place.slots[group.index];
    mine.collective = c;
    mine.in = in;
    mine.out = out;
    QRT_RETURN_IF_ERROR(world.meet(place, group, c));
    Status status = compare(place, group, c);
    if (status)
      work(place, group, c, out);
    QRT_RETURN_IF_ERROR(world.meet(place, group, c));
    return status;
  }

  Status exchange(const void *in, int64_t bytes, void *out) override {
    qrt_collective c{};
    c.kind = QRT_ALL_GATHER;
    c.dtype = QRT_U8;
    c.axes = world.mesh.allAxes();
    c.count = bytes;
    if (all.size() > 1)
      return run(c, all, in, out);
    std::memcpy(out, in, bytes);
    return Status::success();
  }

private:
  /// Another rank's different collective would read beyond our buffers.
  Status compare(ThreadWorld::Group &place, const RankGroup &group,
                 const qrt_collective &c) const {
    auto key = [](const qrt_collective &c) {
      return std::tuple(c.kind, c.reduction, c.dtype, c.axes, c.count);
    };
    const qrt_collective &first = place.slots[0].collective;
    for (int i = 1; i < group.size(); ++i) {
      const qrt_collective &other = place.slots[i].collective;
      if (key(other) != key(first))
        return makeError(
            9012, "",
            "the ranks disagree about a collective: rank {} has "
            "{}, rank {} has {}",
            group.ranks[0], describe(first, world.mesh.describe(first.axes)),
            group.ranks[i], describe(other, world.mesh.describe(other.axes)));
    }
    return Status::success();
  }

  void work(ThreadWorld::Group &place, const RankGroup &group,
            const qrt_collective &c, void *out) const {
    auto type = static_cast<DType>(c.dtype);
    auto reduction = static_cast<qrt_reduction>(c.reduction);
    int64_t width = bytesOf(type), size = group.size(), me = group.index;
    auto inputsAt = [&](int64_t element) {
      std::vector<const void *> ins;
      for (const auto &slot : place.slots)
        ins.push_back(static_cast<const char *>(slot.in) + element * width);
      return ins;
    };
    char *to = static_cast<char *>(out);
    switch (c.kind) {
    case QRT_ALL_REDUCE: {
      // Each rank makes one part for all. Nobody else touches that part of any
      // buffer, so that inputs may be outputs.
      int64_t begin = blockBegin(c.count, size, me);
      int64_t count = blockBegin(c.count, size, me + 1) - begin;
      reduceInOrder(type, reduction, inputsAt(begin), count,
                    to + begin * width);
      for (int64_t i = 0; i < size; ++i)
        if (i != me)
          std::memcpy(static_cast<char *>(place.slots[i].out) + begin * width,
                      to + begin * width, count * width);
      break;
    }
    case QRT_ALL_GATHER:
      for (int64_t i = 0; i < size; ++i)
        std::memcpy(to + i * c.count * width, place.slots[i].in,
                    c.count * width);
      break;
    case QRT_REDUCE_SCATTER:
      reduceInOrder(type, reduction, inputsAt(me * (c.count / size)),
                    c.count / size, to);
      break;
    case QRT_ALL_TO_ALL: {
      int64_t bytes = c.count / size * width;
      for (int64_t i = 0; i < size; ++i)
        std::memcpy(to + i * bytes,
                    static_cast<const char *>(place.slots[i].in) + me * bytes,
                    bytes);
      break;
    }
    }
  }

  ThreadWorld::Impl &world;
  RankGroup all;
  std::map<uint64_t, ThreadWorld::Group *> places; ///< by axes
};

} // namespace qrt

std::unique_ptr<Transport> ThreadWorld::transport(int rank) {
  return std::make_unique<ThreadTransport>(*impl, rank);
}
