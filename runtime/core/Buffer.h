//===- Buffer.h - Large blocks of memory ------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_BUFFER_H
#define QWEN_RUNTIME_CORE_BUFFER_H

#include "runtime/core/Error.h"

#include <cstdint>
#include <string>

namespace qrt {

/// Anonymous zeroed memory of its own mapping. From 2 MB on it is aligned to
/// 2 MB and huge pages are advised; smaller ones are page aligned. Pages that
/// are never touched cost nothing.
class Buffer {
public:
  Buffer() = default;
  Buffer(Buffer &&other) noexcept { swap(other); }
  Buffer &operator=(Buffer &&other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer();

  /// `purpose` names the memory in the error (Q6001) when there is too little.
  static Expected<Buffer> allocate(int64_t bytes, const std::string &purpose);

  char *data() const { return base; }
  int64_t size() const { return bytes; }

private:
  void swap(Buffer &other) {
    std::swap(base, other.base);
    std::swap(bytes, other.bytes);
    std::swap(mapping, other.mapping);
    std::swap(mappedBytes, other.mappedBytes);
  }

  char *base = nullptr;
  int64_t bytes = 0;
  void *mapping = nullptr;
  int64_t mappedBytes = 0;
};

/// The next multiple of `alignment` (a power of two).
inline int64_t alignUp(int64_t value, int64_t alignment) {
  return (value + alignment - 1) & -alignment;
}

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_BUFFER_H
