//===- Buffer.cpp - Large blocks of memory --------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Buffer.h"

#include <algorithm>
#include <sys/mman.h>

using namespace qrt;

Buffer::~Buffer() {
  if (mapping)
    munmap(mapping, mappedBytes);
}

Expected<Buffer> Buffer::allocate(int64_t bytes, const std::string &purpose) {
  constexpr int64_t kHugePage = 2 << 20, kPage = 4096;
  Buffer result;
  result.bytes = bytes;
  int64_t rounded = alignUp(std::max<int64_t>(bytes, 1), kPage);
  bool huge = bytes >= kHugePage;
  // A mapping is page aligned: the slack lets the start move to 2 MB.
  result.mappedBytes = huge ? rounded + kHugePage : rounded;
  void *memory = mmap(nullptr, result.mappedBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return makeError(6001, "", "out of memory: {} needs {} bytes", purpose,
                     bytes);
  result.mapping = memory;
  auto address = reinterpret_cast<int64_t>(memory);
  result.base =
      reinterpret_cast<char *>(huge ? alignUp(address, kHugePage) : address);
  if (huge)
    madvise(result.base, rounded, MADV_HUGEPAGE);
  return result;
}
