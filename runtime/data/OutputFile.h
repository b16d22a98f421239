//===- OutputFile.h - A file that appears only when it is whole -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_DATA_OUTPUTFILE_H
#define QWEN_RUNTIME_DATA_OUTPUTFILE_H

#include "runtime/core/Error.h"

#include <memory>
#include <string>
#include <string_view>

namespace qrt {

/// Writes to `.NAME.tmp` beside the final path; commit() gives it its name.
/// Destroyed without commit(), it leaves nothing.
class OutputFile {
public:
  /// Errors: Q5008.
  static Expected<std::unique_ptr<OutputFile>> create(const std::string &path);
  ~OutputFile();
  OutputFile(const OutputFile &) = delete;
  OutputFile &operator=(const OutputFile &) = delete;

  /// Appends. Errors: Q5008 (a full disk, for example).
  Status write(std::string_view bytes);
  /// Writes everything to the disk (fsync). Errors: Q5008.
  Status flush();
  /// flush() and rename.
  Status commit();

private:
  OutputFile() = default;
  Error failed(const char *what) const;
  Status drain();

  std::string path, temporary, buffer;
  int fd = -1;
};

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_OUTPUTFILE_H
