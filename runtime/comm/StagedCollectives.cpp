//===- StagedCollectives.cpp - Collectives by way of the host -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/StagedCollectives.h"
#include "runtime/comm/Reduce.h"

using namespace qrt;

Status StagedCollectives::start(const qrt_collective &collective,
                                const void *in, void *out) {
  const Mesh &mesh = onHost.mesh();
  int size = mesh.has(collective.axes)
                 ? mesh.group(onHost.rank(), collective.axes).size()
                 : 1; // the error is the communicator's
  QRT_RETURN_IF_ERROR(checkCollective(collective, size));
  int64_t width = bytesOf(static_cast<DType>(collective.dtype));
  Pending &staged = queue.emplace_back();
  staged.in.resize(collective.count * width);
  staged.out.resize(outputCount(collective, size) * width);
  staged.target = out;
  QRT_RETURN_IF_ERROR(
      device.download(staged.in.data(), in, collective.count * width));
  QRT_RETURN_IF_ERROR(device.synchronize());
  return onHost.start(collective, staged.in.data(), staged.out.data());
}

Status StagedCollectives::wait() {
  QRT_RETURN_IF_ERROR(onHost.wait());
  Pending staged = std::move(queue.front());
  queue.pop_front();
  return device.upload(staged.target, staged.out.data(),
                       static_cast<int64_t>(staged.out.size()));
}
