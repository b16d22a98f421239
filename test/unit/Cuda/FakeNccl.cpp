//===- FakeNccl.cpp - A test double of libnccl.so.2 -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The entry points that the runtime uses, with the same types and rules, for
// processes of one machine that have the double of the driver. Ranks of a
// communicator share a file in memory, where each has a board: what it calls
// and its data. Every operation is queued on its stream and runs when something
// waits for that; there each rank holds its call against all others', and adds
// up in the order of ranks, in f32. What NCCL refuses is refused: ranks on one
// GPU, memory that is not the device's, in-place use at a wrong offset.
//
// FAKE_NCCL in the environment is a list of key=value with ';' between: version
// (22703), fail (symbol:code), mix (rank: that rank calls with one element
// less).
//
//===----------------------------------------------------------------------===//

#include "test/unit/Cuda/FakeDriver.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

enum Code {
  Success = 0,
  SystemError = 2,
  InvalidArgument = 4,
  InvalidUsage = 5
};
enum class Kind : int32_t { AllReduce, ReduceScatter, AllGather, AllToAll };

constexpr size_t kBoardBytes = size_t(4) << 20;

struct UniqueId {
  char internal[128];
};

/// What a rank calls.
struct Call {
  Kind kind;
  int32_t type, operation;
  uint64_t count;
};

/// One rank's part of the shared file.
struct Board {
  Call call;
  int32_t device, color, key;
  alignas(64) char data[kBoardBytes];
};

struct Shared {
  std::atomic<uint32_t> arrived, round;
  Board boards[1]; // one a rank
};

std::string &lastError() {
  static std::string text;
  return text;
}

int fail(int code, std::string text) {
  std::fprintf(stderr, "fake NCCL: %s\n", text.c_str());
  lastError() = std::move(text);
  return code;
}

std::string option(const std::string &key) {
  const char *given = std::getenv("FAKE_NCCL");
  std::string text = given ? given : "";
  size_t at = (";" + text).find(";" + key + "=");
  if (at == text.npos)
    return "";
  at += key.size() + 1;
  return text.substr(at, text.find(';', at) - at);
}

int asked(const std::string &symbol) {
  std::string wanted = option("fail");
  size_t colon = wanted.find(':');
  if (colon == wanted.npos || wanted.substr(0, colon) != symbol)
    return Success;
  return fail(std::atoi(wanted.c_str() + colon + 1), "as the test asked");
}

size_t bytesOf(int type) {
  constexpr size_t kBytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
  return kBytes[type];
}

} // namespace

struct ncclComm {
  std::string path;
  int rank, ranks, splits = 0;
  Shared *shared;

  Board &board(int of) const { return shared->boards[of]; }
  Board &mine() const { return board(rank); }
  /// Until all ranks are here.
  void meet() {
    uint32_t round = shared->round.load();
    if (shared->arrived.fetch_add(1) + 1 == static_cast<uint32_t>(ranks)) {
      shared->arrived.store(0);
      shared->round.store(round + 1);
    }
    while (shared->round.load() == round)
      sched_yield();
  }
};

namespace {

/// One of the processes that open the same path.
ncclComm *openComm(const std::string &path, int rank, int ranks) {
  int file = shm_open(path.c_str(), O_CREAT | O_RDWR, 0600);
  size_t bytes = sizeof(Shared) + sizeof(Board) * static_cast<size_t>(ranks);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0)
    return nullptr;
  void *memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED)
    return nullptr;
  auto *comm =
      new ncclComm{path, rank, ranks, 0, static_cast<Shared *>(memory)};
  comm->meet();
  if (rank == 0)
    shm_unlink(path.c_str());
  return comm;
}

float widen(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}
uint16_t narrow(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

template <typename T, typename Wide, typename Load, typename Store>
void reduceAs(const ncclComm &comm, bool isSum, size_t first, size_t count,
              char *to, Load load, Store store) {
  for (size_t i = 0; i < count; ++i) {
    Wide result{};
    for (int rank = 0; rank < comm.ranks; ++rank) {
      T raw;
      std::memcpy(&raw, comm.board(rank).data + (first + i) * sizeof(T),
                  sizeof(T));
      Wide next = load(raw);
      result = rank == 0 ? next
               : isSum   ? static_cast<Wide>(result + next)
                         : std::max(result, next);
    }
    T rounded = store(result);
    std::memcpy(to + i * sizeof(T), &rounded, sizeof(T));
  }
}

int reduce(const ncclComm &comm, const Call &call, size_t first, size_t count,
           char *to) {
  bool isSum = call.operation == 0;
  auto same = [](auto value) { return value; };
  switch (call.type) {
  case 7:
    reduceAs<float, float>(comm, isSum, first, count, to, same, same);
    return Success;
  case 9:
    reduceAs<uint16_t, float>(comm, isSum, first, count, to, widen, narrow);
    return Success;
  case 1:
    reduceAs<uint8_t, uint8_t>(comm, isSum, first, count, to, same, same);
    return Success;
  case 2: // unsigned addition wraps
    if (isSum)
      reduceAs<uint32_t, uint32_t>(comm, isSum, first, count, to, same, same);
    else
      reduceAs<int32_t, int32_t>(comm, isSum, first, count, to, same, same);
    return Success;
  case 4:
    if (isSum)
      reduceAs<uint64_t, uint64_t>(comm, isSum, first, count, to, same, same);
    else
      reduceAs<int64_t, int64_t>(comm, isSum, first, count, to, same, same);
    return Success;
  default:
    return fail(InvalidArgument, "a sum of a type that no test has");
  }
}

/// What a queued operation does when its turn comes.
int perform(ncclComm &comm, const Call &call, const char *in, char *out,
            size_t inBytes) {
  Board &mine = comm.mine();
  mine.call = call;
  std::memcpy(mine.data, in, inBytes);
  comm.meet();
  int code = Success;
  for (int rank = 0; rank < comm.ranks; ++rank)
    if (std::memcmp(&comm.board(rank).call, &call, sizeof call) != 0)
      code = fail(InvalidUsage, "rank " + std::to_string(rank) +
                                    " is in another call than rank " +
                                    std::to_string(comm.rank));
  size_t width = bytesOf(call.type), bytes = call.count * width;
  auto self = static_cast<size_t>(comm.rank);
  if (code == Success)
    switch (call.kind) {
    case Kind::AllReduce:
      code = reduce(comm, call, 0, call.count, out);
      break;
    case Kind::ReduceScatter:
      code = reduce(comm, call, self * call.count, call.count, out);
      break;
    case Kind::AllGather:
      for (int rank = 0; rank < comm.ranks; ++rank)
        std::memcpy(out + static_cast<size_t>(rank) * bytes,
                    comm.board(rank).data, bytes);
      break;
    case Kind::AllToAll:
      for (int rank = 0; rank < comm.ranks; ++rank)
        std::memcpy(out + static_cast<size_t>(rank) * bytes,
                    comm.board(rank).data + self * bytes, bytes);
      break;
    }
  comm.meet();
  return code == Success ? 0 : 999; // CUDA_ERROR_UNKNOWN of the stream
}

/// Checks and queues. `inCount` and `outCount` elements are touched.
int enqueue(const char *symbol, Kind kind, const void *in, void *out,
            size_t count, size_t inCount, size_t outCount, int type,
            int operation, ncclComm *comm, void *stream) {
  if (int code = asked(symbol))
    return code;
  if (!comm || type < 0 || type > 9 || (operation != 0 && operation != 2))
    return fail(InvalidArgument, std::string(symbol) + " with a bad argument");
  if (fakeCudaDevice() != comm->mine().device)
    return fail(InvalidUsage, std::string(symbol) + " on another device");
  size_t width = bytesOf(type);
  if (option("mix") == std::to_string(comm->rank) && count > 1)
    --count;
  char *from = fakeCudaHost(reinterpret_cast<uint64_t>(in), inCount * width);
  char *to = fakeCudaHost(reinterpret_cast<uint64_t>(out), outCount * width);
  if (inCount * width > 0 && (!from || !to))
    return fail(InvalidArgument,
                std::string(symbol) + " of memory that is not the device's");
  if (inCount * width > kBoardBytes)
    return fail(InvalidArgument, std::string(symbol) + " of too much");
  // In place only where a rank's part lies in the whole.
  size_t part = static_cast<size_t>(comm->rank) * count * width;
  bool isOverlapping =
      from < to + outCount * width && to < from + inCount * width;
  bool isInPlace = kind == Kind::AllReduce       ? from == to
                   : kind == Kind::AllGather     ? from == to + part
                   : kind == Kind::ReduceScatter ? to == from + part
                                                 : false;
  if (isOverlapping && !isInPlace && count > 0)
    return fail(InvalidUsage, std::string(symbol) + " over its own input");
  Call call = {};
  call.kind = kind;
  call.type = type;
  call.operation = operation;
  call.count = count;
  return fakeCudaPush(
      stream, [=] { return perform(*comm, call, from, to, inCount * width); });
}

/// Sends and receives between ncclGroupStart and ncclGroupEnd.
struct Group {
  bool isOpen = false;
  const char *in = nullptr;
  char *out = nullptr;
  size_t count = 0;
  int sends = 0, receives = 0, type = 0;
  ncclComm *comm = nullptr;
  void *stream = nullptr;
};
Group &group() {
  static Group instance;
  return instance;
}

/// Only an exchange of equal, adjacent blocks between all ranks is known.
template <typename Pointer>
int join(Pointer *&base, int &calls, Pointer *data, size_t count, int type,
         int peer, ncclComm *comm, void *stream) {
  Group &g = group();
  if (!g.isOpen)
    return fail(InvalidUsage, "a send or receive outside of a group");
  if (!base)
    base = data;
  g.count = count;
  g.type = type;
  g.comm = comm;
  g.stream = stream;
  if (peer != calls++ ||
      data != base + static_cast<size_t>(peer) * count * bytesOf(type))
    return fail(InvalidUsage, "an exchange that this double does not know");
  return Success;
}

} // namespace

EXPORT int ncclGetVersion(int *version) {
  std::string given = option("version");
  *version = given.empty() ? 22703 : std::atoi(given.c_str());
  return Success;
}
EXPORT const char *ncclGetErrorString(int code) {
  switch (code) {
  case Success:
    return "no error";
  case SystemError:
    return "unhandled system error";
  case InvalidArgument:
    return "invalid argument";
  case InvalidUsage:
    return "invalid usage";
  default:
    return "unknown result code";
  }
}
EXPORT const char *ncclGetLastError(ncclComm *) { return lastError().c_str(); }

EXPORT int ncclGetUniqueId(UniqueId *id) {
  if (int code = asked("ncclGetUniqueId"))
    return code;
  std::snprintf(id->internal, sizeof id->internal, "/fake-nccl-%d", getpid());
  return Success;
}
EXPORT int ncclCommInitRank(ncclComm **comm, int ranks, UniqueId id, int rank) {
  if (int code = asked("ncclCommInitRank"))
    return code;
  if (fakeCudaDevice() < 0)
    return fail(InvalidUsage, "no current device");
  *comm = openComm(id.internal, rank, ranks);
  if (!*comm)
    return fail(SystemError, "no shared memory");
  (*comm)->mine().device = fakeCudaDevice();
  (*comm)->meet();
  int code = Success;
  for (int other = 0; other < ranks; ++other)
    if (other != rank && (*comm)->board(other).device == fakeCudaDevice())
      code = fail(InvalidUsage, "Duplicate GPU detected : rank " +
                                    std::to_string(rank) + " and rank " +
                                    std::to_string(other));
  (*comm)->meet();
  return code;
}
EXPORT int ncclCommSplit(ncclComm *parent, int color, int key, ncclComm **comm,
                         void *) {
  if (int code = asked("ncclCommSplit"))
    return code;
  parent->mine().color = color;
  parent->mine().key = key;
  parent->meet();
  int rank = 0, ranks = 0;
  for (int other = 0; other < parent->ranks; ++other) {
    if (parent->board(other).color != color)
      continue;
    ++ranks;
    rank += parent->board(other).key < key;
  }
  std::string path = parent->path + "-" + std::to_string(parent->splits++) +
                     "-" + std::to_string(color);
  parent->meet();
  *comm = openComm(path, rank, ranks);
  if (!*comm)
    return fail(SystemError, "no shared memory");
  (*comm)->mine().device = fakeCudaDevice();
  return Success;
}
EXPORT int ncclCommGetAsyncError(ncclComm *, int *code) {
  *code = asked("ncclCommGetAsyncError");
  return Success;
}

EXPORT int ncclAllReduce(const void *in, void *out, size_t count, int type,
                         int operation, ncclComm *comm, void *stream) {
  return enqueue("ncclAllReduce", Kind::AllReduce, in, out, count, count, count,
                 type, operation, comm, stream);
}
EXPORT int ncclReduceScatter(const void *in, void *out, size_t count, int type,
                             int operation, ncclComm *comm, void *stream) {
  return enqueue("ncclReduceScatter", Kind::ReduceScatter, in, out, count,
                 count * static_cast<size_t>(comm->ranks), count, type,
                 operation, comm, stream);
}
EXPORT int ncclAllGather(const void *in, void *out, size_t count, int type,
                         ncclComm *comm, void *stream) {
  return enqueue("ncclAllGather", Kind::AllGather, in, out, count, count,
                 count * static_cast<size_t>(comm->ranks), type, 0, comm,
                 stream);
}
EXPORT int ncclGroupStart() {
  group() = Group();
  group().isOpen = true;
  return Success;
}
EXPORT int ncclSend(const void *in, size_t count, int type, int peer,
                    ncclComm *comm, void *stream) {
  return join(group().in, group().sends, static_cast<const char *>(in), count,
              type, peer, comm, stream);
}
EXPORT int ncclRecv(void *out, size_t count, int type, int peer, ncclComm *comm,
                    void *stream) {
  return join(group().out, group().receives, static_cast<char *>(out), count,
              type, peer, comm, stream);
}
EXPORT int ncclGroupEnd() {
  Group g = group();
  group() = Group();
  if (!g.isOpen)
    return fail(InvalidUsage, "the end of a group without its start");
  if (g.sends == 0 && g.receives == 0)
    return Success;
  if (g.sends != g.comm->ranks || g.receives != g.comm->ranks)
    return fail(InvalidUsage, "an exchange that this double does not know");
  size_t all = g.count * static_cast<size_t>(g.comm->ranks);
  return enqueue("ncclGroupEnd", Kind::AllToAll, g.in, g.out, g.count, all, all,
                 g.type, 0, g.comm, g.stream);
}
