//===- NcclCollectives.cpp - The collectives of one GPU -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/NcclCollectives.h"
#include "runtime/comm/Reduce.h"

using namespace qrt;

Expected<std::unique_ptr<NcclCollectives>>
NcclCollectives::create(const Mesh &mesh, CudaDevice &device,
                        ProcessTransport &processes, Options options) {
  std::unique_ptr<NcclCollectives> result(
      new NcclCollectives(mesh, device, processes, std::move(options)));
  // Who lacks NCCL tells all, or the others would wait for it.
  auto opened = nccl::Library::open(result->options.library);
  int32_t isThere = static_cast<bool>(opened);
  std::vector<int32_t> all(processes.ranks());
  QRT_RETURN_IF_ERROR(processes.exchange(&isThere, sizeof isThere, all.data()));
  QRT_ASSIGN_OR_RETURN(result->library, std::move(opened));
  for (int rank = 0; rank < processes.ranks(); ++rank)
    if (!all[rank])
      return makeError(9023, "", "rank {} has no NCCL", rank);
  nccl::UniqueId id = {};
  nccl::Result made = nccl::kSuccess;
  if (processes.rank() == 0)
    made = result->library->uniqueId(&id);
  QRT_RETURN_IF_ERROR(processes.broadcast(&made, sizeof made));
  QRT_RETURN_IF_ERROR(result->result(made, "cannot start"));
  QRT_RETURN_IF_ERROR(processes.broadcast(&id, sizeof id));
  QRT_RETURN_IF_ERROR(result->result(
      result->library->commInit(&result->world, processes.ranks(), id,
                                processes.rank()),
      fmt::format("cannot connect {}", device.name())));
  return result;
}

Status NcclCollectives::result(nccl::Result code,
                               const std::string &what) const {
  if (code == nccl::kSuccess)
    return Status::success();
  return makeError(9024, "", "NCCL: {}: {}", what, library->describe(code));
}

Expected<nccl::Comm> NcclCollectives::communicatorOf(const RankGroup &group) {
  if (group.size() == mesh.ranks())
    return world;
  nccl::Comm comm = nullptr;
  QRT_RETURN_IF_ERROR(result(
      library->commSplit(world, group.ranks[0], group.index, &comm, nullptr),
      "cannot make a group of ranks"));
  return comm;
}

Expected<const void *> NcclCollectives::copyOf(const void *in, int64_t bytes) {
  // An earlier copy may still be read, so a larger one does not replace it.
  if (copies.empty() || copies.back().size() < bytes) {
    QRT_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                         device.allocate(bytes, "a collective in place"));
    copies.push_back(std::move(buffer));
  }
  QRT_RETURN_IF_ERROR(device.copy(copies.back().data(), in, bytes));
  return copies.back().data();
}

nccl::Result NcclCollectives::enqueue(const qrt_collective &c, nccl::Comm comm,
                                      int size, const void *in, void *out) {
  auto type = static_cast<DType>(c.dtype);
  int code = nccl::typeOf(type);
  int operation = c.reduction == QRT_MAX ? nccl::kMax : nccl::kSum;
  nccl::Stream stream = device.workStream();
  auto count = static_cast<size_t>(c.count), part = count / size;
  switch (c.kind) {
  case QRT_ALL_REDUCE:
    return library->allReduce(in, out, count, code, operation, comm, stream);
  case QRT_REDUCE_SCATTER:
    return library->reduceScatter(in, out, part, code, operation, comm, stream);
  case QRT_ALL_GATHER:
    return library->allGather(in, out, count, code, comm, stream);
  default:
    break;
  }
  // NCCL has had an all-to-all of its own only since 2.28.
  auto bytes = part * static_cast<size_t>(bytesOf(type));
  nccl::Result failure = library->groupStart();
  for (int peer = 0; peer < size && failure == nccl::kSuccess; ++peer) {
    const char *from = static_cast<const char *>(in) + peer * bytes;
    char *to = static_cast<char *>(out) + peer * bytes;
    failure = library->send(from, part, code, peer, comm, stream);
    if (failure == nccl::kSuccess)
      failure = library->recv(to, part, code, peer, comm, stream);
  }
  nccl::Result ended = library->groupEnd();
  return failure == nccl::kSuccess ? ended : failure;
}

Status NcclCollectives::start(const qrt_collective &c, const void *in,
                              void *out) {
  if (!mesh.has(c.axes))
    return makeError(9011, "",
                     "damaged module: collective #{} has axes {:#x}, the mesh "
                     "is {}",
                     c.id, c.axes, mesh.str());
  RankGroup group = mesh.group(processes.rank(), c.axes);
  QRT_RETURN_IF_ERROR(checkCollective(c, group.size()));
  std::string what = describe(c, mesh.describe(c.axes));
  auto type = static_cast<DType>(c.dtype);
  if (options.debug)
    QRT_RETURN_IF_ERROR(compareOverRanks(c, sequence, mesh, processes));
  ++sequence;
  int64_t bytes = c.count * bytesOf(type);
  if (group.size() == 1)
    return in == out ? Status::success() : device.copy(out, in, bytes);
  auto [it, isNew] = communicators.try_emplace(c.axes);
  if (isNew) {
    QRT_ASSIGN_OR_RETURN(it->second, communicatorOf(group));
  }
  if (in == out && c.kind != QRT_ALL_REDUCE) {
    QRT_ASSIGN_OR_RETURN(in, copyOf(in, bytes));
  }
  // What went wrong earlier, on this rank or between them.
  nccl::Result earlier = nccl::kSuccess;
  library->asyncError(it->second, &earlier);
  if (earlier != nccl::kSuccess && earlier != nccl::kInProgress)
    return result(earlier, "a collective failed");
  return result(enqueue(c, it->second, group.size(), in, out), what);
}
