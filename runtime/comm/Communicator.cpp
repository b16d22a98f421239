//===- Communicator.cpp - The collectives of one device -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Communicator.h"
#include "runtime/comm/Reduce.h"

#include <cstring>

using namespace qrt;

Communicator::Communicator(Mesh mesh, int rank,
                           std::unique_ptr<Transport> transport,
                           Options options)
    : ranks(std::move(mesh)), self(rank), backend(std::move(transport)),
      options(options) {
  if (options.ownThread)
    thread = std::thread([this] { threadMain(); });
}

Communicator::~Communicator() {
  if (!thread.joinable())
    return;
  {
    std::lock_guard<std::mutex> lock(mutex);
    stop = true;
  }
  changed.notify_all();
  thread.join();
}

const RankGroup &Communicator::groupOf(uint64_t axes) {
  auto [it, isNew] = groups.try_emplace(axes);
  if (isNew)
    it->second = ranks.group(self, axes);
  return it->second;
}

Status Communicator::start(const qrt_collective &collective, const void *in,
                           void *out) {
  if (!ranks.has(collective.axes))
    return makeError(9011, "",
                     "damaged module: collective #{} has axes {:#x}, the mesh "
                     "is {}",
                     collective.id, collective.axes, ranks.str());
  std::lock_guard<std::mutex> lock(mutex);
  const RankGroup &group = groupOf(collective.axes);
  QRT_RETURN_IF_ERROR(checkCollective(collective, group.size()));
  sums.calls[collective.kind]++;
  sums.bytes[collective.kind] +=
      collective.count * bytesOf(static_cast<DType>(collective.dtype));
  queue.push_back({collective, in, out, false, {}});
  if (thread.joinable())
    changed.notify_all();
  return Status::success();
}

Status Communicator::wait() {
  std::unique_lock<std::mutex> lock(mutex);
  if (queue.empty())
    return makeError(9011, "",
                     "damaged module: it waits for a collective that it has "
                     "not started");
  if (thread.joinable()) {
    changed.wait(lock, [&] { return finished > 0; });
    --finished;
    Status status = std::move(queue.front().status);
    queue.pop_front();
    return status;
  }
  Operation operation = std::move(queue.front());
  queue.pop_front();
  lock.unlock();
  return run(operation);
}

void Communicator::threadMain() {
  std::unique_lock<std::mutex> lock(mutex);
  for (;;) {
    changed.wait(lock, [&] { return stop || finished < queue.size(); });
    if (stop)
      return;
    // References into a deque stay valid while its ends change.
    Operation &operation = queue[finished];
    lock.unlock();
    Status status = run(operation);
    lock.lock();
    operation.status = std::move(status);
    ++finished;
    changed.notify_all();
  }
}

Status Communicator::run(const Operation &operation) {
  const qrt_collective &collective = operation.collective;
  const RankGroup *group;
  {
    // The map's nodes stay where they are.
    std::unique_lock<std::mutex> lock(mutex, std::defer_lock);
    if (thread.joinable())
      lock.lock();
    group = &groupOf(collective.axes);
  }
  if (options.debug)
    QRT_RETURN_IF_ERROR(
        compareOverRanks(collective, sequence, ranks, *backend));
  ++sequence;
  int64_t bytes =
      collective.count * bytesOf(static_cast<DType>(collective.dtype));
  const void *in = operation.in;
  if (group->size() == 1) {
    if (in != operation.out)
      std::memcpy(operation.out, in, bytes);
    return Status::success();
  }
  if (in == operation.out && collective.kind != QRT_ALL_REDUCE) {
    const char *from = static_cast<const char *>(in);
    copy.assign(from, from + bytes);
    in = copy.data();
  }
  return backend->run(collective, *group, in, operation.out);
}

Status qrt::compareOverRanks(const qrt_collective &collective, int64_t number,
                             const Mesh &mesh, Transport &transport) {
  // Fields in a fixed layout without holes, since bytes are compared.
  struct Record {
    int64_t number, id, kind, reduction, dtype, count;
    uint64_t axes;
  };
  Record mine = {
      number,           collective.id,    collective.kind, collective.reduction,
      collective.dtype, collective.count, collective.axes};
  std::vector<Record> all(mesh.ranks());
  QRT_RETURN_IF_ERROR(transport.exchange(&mine, sizeof mine, all.data()));
  auto text = [&](const Record &r) {
    qrt_collective c;
    c.kind = static_cast<int32_t>(r.kind);
    c.reduction = static_cast<int32_t>(r.reduction);
    c.dtype = static_cast<int32_t>(r.dtype);
    c.id = static_cast<int32_t>(r.id);
    c.axes = r.axes;
    c.count = r.count;
    return describe(c, mesh.describe(r.axes));
  };
  for (size_t rank = 1; rank < all.size(); ++rank)
    if (std::memcmp(&all[rank], &all[0], sizeof(Record)) != 0)
      return makeError(9012, "",
                       "the ranks disagree about collective {} of the run: "
                       "rank 0 has {}, rank {} has {}",
                       number, text(all[0]), rank, text(all[rank]));
  return Status::success();
}
