//===- PinnedMemory.cpp - Copies that the host need not wait for ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/PinnedMemory.h"

#include <algorithm>
#include <cstring>

using namespace qrt;
using namespace qrt::cuda;

PinnedMemory::~PinnedMemory() {
  for (const Region &region : regions)
    driver.eventDestroy(region.copied);
  for (CUevent event : idleEvents)
    driver.eventDestroy(event);
  if (up)
    driver.hostFree(up);
  if (down)
    driver.hostFree(down);
}

Status PinnedMemory::create(int64_t bytes) {
  capacity = bytes;
  for (char **block : {&up, &down}) {
    void *memory = nullptr;
    if (CUresult result = driver.hostAlloc(&memory, bytes, 0);
        result != kSuccess)
      return error(result, "cannot lock memory of the host");
    *block = static_cast<char *>(memory);
  }
  return Status::success();
}

Status PinnedMemory::reclaim(int64_t begin, int64_t end) {
  auto overlaps = [&](const Region &region) {
    return region.begin < end && begin < region.end;
  };
  // Copies are made in order: with the last that is in the way, all before it
  // are done.
  auto last = std::find_if(regions.rbegin(), regions.rend(), overlaps);
  if (last == regions.rend())
    return Status::success();
  if (CUresult result = driver.eventSynchronize(last->copied);
      result != kSuccess)
    return error(result, "a copy to the device failed");
  for (auto it = last.base(); it != regions.begin();) {
    idleEvents.push_back((--it)->copied);
  }
  regions.erase(regions.begin(), last.base());
  return Status::success();
}

Status PinnedMemory::upload(CUdeviceptr to, const void *from, int64_t bytes) {
  auto *source = static_cast<const char *>(from);
  // Two pieces fit, so that one is filled while the other is copied.
  int64_t most = capacity / 2;
  while (bytes > 0) {
    int64_t piece = std::min(bytes, most);
    if (head + piece > capacity)
      head = 0;
    QRT_RETURN_IF_ERROR(reclaim(head, head + piece));
    std::memcpy(up + head, source, piece);
    CUevent event = nullptr;
    if (idleEvents.empty()) {
      if (CUresult result = driver.eventCreate(&event, kNoTiming);
          result != kSuccess)
        return error(result, "cannot make an event");
    } else {
      event = idleEvents.back();
      idleEvents.pop_back();
    }
    regions.push_back({head, head + piece, event});
    CUresult result = driver.copyToDevice(to, up + head, piece, stream);
    if (result == kSuccess)
      result = driver.eventRecord(event, stream);
    if (result != kSuccess)
      return error(result, "a copy to the device failed");
    head += (piece + 255) & ~int64_t(255);
    to += piece;
    source += piece;
    bytes -= piece;
  }
  return Status::success();
}

Status PinnedMemory::download(void *to, CUdeviceptr from, int64_t bytes) {
  auto *target = static_cast<char *>(to);
  while (bytes > 0) {
    if (used == capacity)
      QRT_RETURN_IF_ERROR(drain());
    int64_t piece = std::min(bytes, capacity - used);
    if (CUresult result = driver.copyToHost(down + used, from, piece, stream);
        result != kSuccess)
      return error(result, "a copy from the device failed");
    results.push_back({target, used, piece});
    used = std::min((used + piece + 255) & ~int64_t(255), capacity);
    from += piece;
    target += piece;
    bytes -= piece;
  }
  return Status::success();
}

Status PinnedMemory::drain() {
  CUresult result = driver.streamSynchronize(stream);
  if (result == kSuccess)
    for (const Result &item : results)
      std::memcpy(item.to, down + item.offset, item.bytes);
  results.clear();
  used = 0;
  if (result != kSuccess)
    return error(result, "the device failed");
  return Status::success();
}
