//===- MpiTransport.cpp - Ranks that MPI has started ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/MpiTransport.h"
#include "runtime/comm/Reduce.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <limits>
#include <mutex>
#include <thread>

using namespace qrt;

namespace {

constexpr const char *kPlugin = "libqwen-comm-mpi.so";
/// Bytes of all blocks of one exchange: large ones go in pieces, so that
/// buffers stay small and MPI's counts are in range.
constexpr int64_t kPieceBytes = int64_t(8) << 20;
/// Up to here every rank gets everything and adds it up itself.
constexpr int64_t kSmallBytes = 4096;

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Ends the process if it still exists after some seconds.
class StartWatch {
public:
  explicit StartWatch(double seconds) {
    if (seconds > 0)
      thread = std::thread([this, seconds] { watch(seconds); });
  }
  ~StartWatch() {
    if (!thread.joinable())
      return;
    {
      std::lock_guard<std::mutex> lock(mutex);
      isOver = true;
    }
    changed.notify_all();
    thread.join();
  }

private:
  void watch(double seconds) {
    std::unique_lock<std::mutex> lock(mutex);
    if (changed.wait_for(lock, std::chrono::duration<double>(seconds),
                         [this] { return isOver; }))
      return;
    Error error = makeError(9014, "",
                            "MPI has not started within {} s: not all ranks "
                            "have come",
                            seconds);
    std::fprintf(stderr, "%s\n", error.str().c_str());
    std::_Exit(1);
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool isOver = false;
  std::thread thread; // the last member: it uses the others
};

} // namespace

Expected<std::unique_ptr<MpiTransport>> MpiTransport::create(Options options) {
  // A waiting rank must leave the processor to those it waits for.
  if (options.oversubscribed)
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1);
  void *library = nullptr;
  std::string tried;
  for (const std::string &path :
       {options.directory.empty() ? std::string() : options.directory + "/",
        std::string()}) {
    // Open MPI's own plugins look for its symbols among the global ones.
    library = dlopen((path + kPlugin).c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (library)
      break;
    const char *why = dlerror();
    if (tried.empty() && why)
      tried = why;
  }
  if (!library)
    return makeError(9020, "",
                     "cannot load {}, which the backend mpi needs: {}; install "
                     "Open MPI (libopenmpi-dev) and build again, or choose "
                     "another --comm",
                     kPlugin, tried);
  auto query = reinterpret_cast<qrt_mpi_query>(dlsym(library, QRT_MPI_SYMBOL));
  const qrt_mpi *mpi = query ? query() : nullptr;
  if (!mpi || mpi->version != QRT_MPI_VERSION)
    return makeError(9020, "", "{} is of another release than this qwen-rt",
                     kPlugin);
  std::unique_ptr<MpiTransport> transport(new MpiTransport);
  transport->options = std::move(options);
  transport->mpi = mpi;
  StartWatch watch(transport->options.startTimeoutSeconds);
  if (mpi->init(&transport->self, &transport->all) != 0)
    return makeError(9020, "", "cannot start MPI: {}", mpi->error());
  return transport;
}

MpiTransport::~MpiTransport() = default;

Status MpiTransport::finish() {
  if (finalized)
    return Status::success();
  finalized = true;
  if (mpi->finalize() != 0)
    return makeError(9021, "", "cannot end MPI: {}", mpi->error());
  return Status::success();
}

void MpiTransport::abort(int status) {
  mpi->abort(status);
  std::_Exit(status);
}

Expected<int> MpiTransport::handleOf(const RankGroup &group) {
  auto [it, isNew] = handles.try_emplace(group.ranks, -1);
  if (isNew && mpi->make_group(group.ranks.data(), group.size(), &it->second))
    return makeError(9021, "", "MPI cannot make a group: {}", mpi->error());
  return it->second;
}

Status MpiTransport::failure(const char *what) {
  if (!reason.empty())
    return makeError(9013, "", "{}", reason);
  if (isLate)
    return makeError(9014, "",
                     "{} has not ended within {} s: another rank does not come "
                     "to it",
                     what, options.timeoutSeconds);
  return makeError(9021, "", "{} failed: {}", what, mpi->error());
}

/// The qrt_mpi_stop of every operation: whether to give up.
int MpiTransport::shouldStop(void *raw) {
  auto *self = static_cast<MpiTransport *>(raw);
  if (self->options.stopReason)
    self->reason = self->options.stopReason();
  self->isLate = now() > self->deadline;
  return !self->reason.empty() || self->isLate;
}

Status MpiTransport::allGather(int handle, const void *in, void *out,
                               int64_t bytes) {
  startClock(options.timeoutSeconds);
  if (mpi->all_gather(handle, in, out, bytes, &shouldStop, this) != 0)
    return failure("a gathering of the ranks");
  return Status::success();
}

Status MpiTransport::allToAll(int handle, const void *in, void *out,
                              int64_t bytes) {
  startClock(options.timeoutSeconds);
  if (mpi->all_to_all(handle, in, out, bytes, &shouldStop, this) != 0)
    return failure("an exchange of the ranks");
  return Status::success();
}

void MpiTransport::startClock(double seconds) {
  deadline = seconds > 0 ? now() + seconds : std::numeric_limits<double>::max();
}

Status MpiTransport::broadcast(void *data, int64_t bytes) {
  // In pieces, since MPI counts in int.
  for (int64_t begin = 0; begin < bytes; begin += kPieceBytes) {
    startClock(0);
    if (mpi->broadcast(static_cast<char *>(data) + begin,
                       std::min(kPieceBytes, bytes - begin), &shouldStop,
                       this) != 0)
      return failure("a message of rank 0");
  }
  return Status::success();
}

Status MpiTransport::gather(const void *in, int64_t bytes, void *out) {
  for (int64_t begin = 0; begin < bytes; begin += kPieceBytes) {
    int64_t count = std::min(kPieceBytes, bytes - begin);
    if (self == 0)
      received.resize(count * all);
    startClock(options.timeoutSeconds);
    if (mpi->gather(static_cast<const char *>(in) + begin, received.data(),
                    count, &shouldStop, this) != 0)
      return failure("a message to rank 0");
    if (self == 0)
      for (int i = 0; i < all; ++i)
        std::memcpy(static_cast<char *>(out) + i * bytes + begin,
                    received.data() + i * count, count);
  }
  return Status::success();
}

Status MpiTransport::exchange(const void *in, int64_t bytes, void *out) {
  if (all == 1) {
    std::memcpy(out, in, bytes);
    return Status::success();
  }
  RankGroup world;
  for (int i = 0; i < all; ++i)
    world.ranks.push_back(i);
  world.index = self;
  qrt_collective c{};
  c.kind = QRT_ALL_GATHER;
  c.dtype = QRT_U8;
  c.count = bytes;
  return run(c, world, in, out);
}

/// Reduces `count` elements: each rank makes one part, then all get all parts.
Status MpiTransport::reduceParts(const qrt_collective &c, int handle,
                                 const RankGroup &group, const char *in,
                                 char *out) {
  auto type = static_cast<DType>(c.dtype);
  auto reduction = static_cast<qrt_reduction>(c.reduction);
  int64_t width = bytesOf(type), size = group.size();
  auto blocksOf = [&](const std::vector<char> &from, int64_t stride) {
    std::vector<const void *> blocks;
    for (int64_t i = 0; i < size; ++i)
      blocks.push_back(from.data() + i * stride);
    return blocks;
  };
  if (c.count * width <= kSmallBytes) {
    int64_t bytes = c.count * width;
    received.resize(bytes * size);
    QRT_RETURN_IF_ERROR(allGather(handle, in, received.data(), bytes));
    reduceInOrder(type, reduction, blocksOf(received, bytes), c.count, out);
    return Status::success();
  }
  int64_t step = std::max<int64_t>(kPieceBytes / width / size, 1) * size;
  for (int64_t begin = 0; begin < c.count; begin += step) {
    int64_t count = std::min(step, c.count - begin);
    int64_t part = (count + size - 1) / size, bytes = part * width;
    // The last part may be longer than what is there; nobody reads the rest.
    sent.resize(bytes * size);
    received.resize(bytes * size);
    reduced.resize(bytes);
    std::memcpy(sent.data(), in + begin * width, count * width);
    QRT_RETURN_IF_ERROR(allToAll(handle, sent.data(), received.data(), bytes));
    reduceInOrder(type, reduction, blocksOf(received, bytes), part,
                  reduced.data());
    QRT_RETURN_IF_ERROR(
        allGather(handle, reduced.data(), received.data(), bytes));
    std::memcpy(out + begin * width, received.data(), count * width);
  }
  return Status::success();
}

Status MpiTransport::run(const qrt_collective &c, const RankGroup &group,
                         const void *rawIn, void *rawOut) {
  QRT_ASSIGN_OR_RETURN(int handle, handleOf(group));
  const char *in = static_cast<const char *>(rawIn);
  char *out = static_cast<char *>(rawOut);
  auto type = static_cast<DType>(c.dtype);
  int64_t width = bytesOf(type), size = group.size();
  if (c.kind == QRT_ALL_REDUCE)
    return reduceParts(c, handle, group, in, out);
  // The rest moves blocks of `block` bytes, one a rank, piece by piece.
  int64_t block =
      c.kind == QRT_ALL_GATHER ? c.count * width : c.count / size * width;
  int64_t step = std::max<int64_t>(kPieceBytes / size / 64, 1) * 64;
  for (int64_t begin = 0; begin < block; begin += step) {
    int64_t bytes = std::min(step, block - begin);
    received.resize(bytes * size);
    if (c.kind == QRT_ALL_GATHER) {
      QRT_RETURN_IF_ERROR(
          allGather(handle, in + begin, received.data(), bytes));
    } else {
      sent.resize(bytes * size);
      for (int64_t i = 0; i < size; ++i)
        std::memcpy(sent.data() + i * bytes, in + i * block + begin, bytes);
      QRT_RETURN_IF_ERROR(
          allToAll(handle, sent.data(), received.data(), bytes));
    }
    if (c.kind == QRT_REDUCE_SCATTER) {
      std::vector<const void *> blocks;
      for (int64_t i = 0; i < size; ++i)
        blocks.push_back(received.data() + i * bytes);
      reduceInOrder(type, static_cast<qrt_reduction>(c.reduction), blocks,
                    bytes / width, out + begin);
      continue;
    }
    for (int64_t i = 0; i < size; ++i)
      std::memcpy(out + i * block + begin, received.data() + i * bytes, bytes);
  }
  return Status::success();
}
