//===- AppendFile.h - A log that outlives a full disk ----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_APPENDFILE_H
#define QWEN_RUNTIME_TRAIN_APPENDFILE_H

#include "runtime/core/Error.h"

#include <string>
#include <string_view>

namespace qrt {

/// Appends to a file, through at once. What cannot be written (the disk is
/// full) is kept and written before what comes next.
class AppendFile {
public:
  AppendFile() = default;
  ~AppendFile();
  AppendFile(const AppendFile &) = delete;
  AppendFile &operator=(const AppendFile &) = delete;

  /// Opens for appending, making the file if needed. Errors: Q8005.
  Status open(const std::string &path);
  /// Errors: Q8005 when even what is kept becomes too much.
  Status append(std::string_view text);
  /// Writes what was kept. Errors: Q8005, if that still fails.
  Status flush();
  /// Whether something waits to be written.
  bool isBehind() const { return !pending.empty(); }

private:
  std::string path, pending;
  int fd = -1;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_APPENDFILE_H
