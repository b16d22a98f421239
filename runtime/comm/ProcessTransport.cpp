//===- ProcessTransport.cpp - Ranks that are processes -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/ProcessTransport.h"
#include "runtime/comm/Reduce.h"

#include <chrono>
#include <cstring>
#include <limits>

using namespace qrt;

namespace {

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

} // namespace

Expected<int> ProcessTransport::handleOf(const RankGroup &group) {
  auto [it, isNew] = handles.try_emplace(group.ranks, -1);
  if (isNew) {
    QRT_ASSIGN_OR_RETURN(it->second, link->makeGroup(group.ranks));
  }
  return it->second;
}

/// Runs an operation of the link, and says why it was given up if so.
template <typename Operation>
Status ProcessTransport::timed(double seconds, const char *what,
                               Operation operation) {
  double deadline =
      seconds > 0 ? now() + seconds : std::numeric_limits<double>::max();
  bool isLate = false;
  std::string reason;
  Status status = operation([&] {
    if (options.stopReason)
      reason = options.stopReason();
    isLate = now() > deadline;
    return !reason.empty() || isLate;
  });
  if (status)
    return status;
  if (!reason.empty())
    return makeError(9013, "", "{}", reason);
  if (isLate)
    return makeError(9014, "",
                     "{} has not ended within {} s: another rank does not come "
                     "to it",
                     what, options.timeoutSeconds);
  return status;
}

Status ProcessTransport::allGather(int handle, const void *in, void *out,
                                   int64_t bytes) {
  return timed(options.timeoutSeconds, "a gathering of the ranks",
               [&](const ProcessLink::Stop &stop) {
                 return link->allGather(handle, in, out, bytes, stop);
               });
}

Status ProcessTransport::allToAll(int handle, const void *in, void *out,
                                  int64_t bytes) {
  return timed(options.timeoutSeconds, "an exchange of the ranks",
               [&](const ProcessLink::Stop &stop) {
                 return link->allToAll(handle, in, out, bytes, stop);
               });
}

Status ProcessTransport::broadcast(void *data, int64_t bytes) {
  // In pieces, since MPI counts in int.
  for (int64_t begin = 0; begin < bytes; begin += kPieceBytes)
    QRT_RETURN_IF_ERROR(
        timed(0, "a message of rank 0", [&](const ProcessLink::Stop &stop) {
          return link->broadcast(static_cast<char *>(data) + begin,
                                 std::min(kPieceBytes, bytes - begin), stop);
        }));
  return Status::success();
}

Status ProcessTransport::gather(const void *in, int64_t bytes, void *out) {
  for (int64_t begin = 0; begin < bytes; begin += kPieceBytes) {
    int64_t count = std::min(kPieceBytes, bytes - begin);
    if (rank() == 0)
      received.resize(count * ranks());
    QRT_RETURN_IF_ERROR(timed(options.timeoutSeconds, "a message to rank 0",
                              [&](const ProcessLink::Stop &stop) {
                                return link->gather(
                                    static_cast<const char *>(in) + begin,
                                    received.data(), count, stop);
                              }));
    if (rank() == 0)
      for (int i = 0; i < ranks(); ++i)
        std::memcpy(static_cast<char *>(out) + i * bytes + begin,
                    received.data() + i * count, count);
  }
  return Status::success();
}

Status ProcessTransport::exchange(const void *in, int64_t bytes, void *out) {
  if (ranks() == 1) {
    std::memcpy(out, in, bytes);
    return Status::success();
  }
  RankGroup world;
  for (int i = 0; i < ranks(); ++i)
    world.ranks.push_back(i);
  world.index = rank();
  qrt_collective c{};
  c.kind = QRT_ALL_GATHER;
  c.dtype = QRT_U8;
  c.count = bytes;
  return run(c, world, in, out);
}

/// Reduces `count` elements: each rank makes one part, then all get all parts.
Status ProcessTransport::reduceParts(const qrt_collective &c, int handle,
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

Status ProcessTransport::run(const qrt_collective &c, const RankGroup &group,
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
