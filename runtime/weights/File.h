//===- File.h - Read-only random access to one file -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Readers of weights go through pread: a file that shrinks while it is in use
// is then an error and not a signal, and only the bytes asked for are read.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_FILE_H
#define QWEN_RUNTIME_WEIGHTS_FILE_H

#include "runtime/core/Error.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace qrt {

/// An open regular file (or a block of memory that stands for one). All methods
/// may be called from several threads at once.
class RandomAccessFile {
public:
  /// Opens a regular file. Errors (Q3001) name the path and the reason; a
  /// directory, a pipe or a device is refused, not waited for.
  static Expected<std::shared_ptr<RandomAccessFile>>
  open(const std::string &path);
  /// The bytes stand for a file called `name` in messages.
  static std::shared_ptr<RandomAccessFile> fromMemory(std::string bytes,
                                                      std::string name);
  ~RandomAccessFile();
  RandomAccessFile(const RandomAccessFile &) = delete;
  RandomAccessFile &operator=(const RandomAccessFile &) = delete;

  /// Size in bytes when the file was opened.
  uint64_t size() const { return length; }
  const std::string &path() const { return name; }

  /// Reads exactly `count` bytes at `offset`. Errors: Q3001 when the range is
  /// not inside the file (any more) or reading fails.
  Status read(uint64_t offset, void *to, uint64_t count) const;

  /// Bytes that read() has delivered so far.
  uint64_t bytesRead() const { return delivered.load(); }

  /// The whole file mapped read-only; made on the first call, lives as long as
  /// the object. Touching it after the file shrank raises a signal: prefer
  /// read() wherever a copy is made anyway.
  Expected<const uint8_t *> map() const;

private:
  RandomAccessFile() = default;

  std::string name;
  std::string memory;
  uint64_t length = 0;
  int fd = -1;
  mutable std::atomic<uint64_t> delivered{0};
  mutable std::mutex mapLock;
  mutable void *mapping = nullptr;
};

/// Reads a whole small file. Errors: Q3001, also when it is longer than
/// `maxBytes`.
Expected<std::string> readSmallFile(const std::string &path, uint64_t maxBytes);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_FILE_H
