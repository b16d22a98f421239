//===- HostState.cpp - A session's state as the host sees it --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/HostState.h"

using namespace qrt;

Expected<StateWriter> StateWriter::create(Session &session,
                                          std::string_view prefix) {
  StateWriter writer;
  writer.device = &session.device();
  for (const auto &[name, memory] : session.memory(prefix)) {
    char *base = memory->data();
    if (!writer.device->sharesHostMemory()) {
      QRT_ASSIGN_OR_RETURN(Buffer copy, Buffer::allocate(memory->size(), name));
      base = copy.data();
      writer.copies.push_back(std::move(copy));
    }
    writer.ranges.push_back({base, memory->data(), memory->size()});
  }
  return writer;
}

Status StateWriter::finish() {
  if (!copies.empty())
    for (const Range &range : ranges)
      QRT_RETURN_IF_ERROR(
          device->upload(range.target, range.base, range.bytes));
  copies.clear();
  ranges.clear();
  return Status::success();
}

Expected<const float *> StateReader::read(const float *address, int64_t count) {
  if (device.sharesHostMemory())
    return address;
  // The matrices of one tensor of a file: three in a fused QKV.
  constexpr size_t kCopies = 3;
  for (const Copy &copy : copies)
    if (copy.address == address &&
        static_cast<int64_t>(copy.values.size()) >= count)
      return static_cast<const float *>(copy.values.data());
  Copy copy;
  if (copies.size() == kCopies) {
    copy = std::move(copies.front());
    copies.pop_front();
  }
  copy.address = address;
  copy.values.resize(count);
  QRT_RETURN_IF_ERROR(device.download(copy.values.data(), address,
                                      count * int64_t(sizeof(float))));
  QRT_RETURN_IF_ERROR(device.synchronize());
  copies.push_back(std::move(copy));
  return static_cast<const float *>(copies.back().values.data());
}
