//===- Documents.h - Reading text files of any size -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_DATA_DOCUMENTS_H
#define QWEN_RUNTIME_DATA_DOCUMENTS_H

#include "runtime/core/Error.h"
#include "runtime/weights/File.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

/// Called now and then with the bytes read of all; returns false to stop.
using ReadProgress = std::function<bool(uint64_t done, uint64_t total)>;

/// Text files that are read once, in order, in blocks. A plain file is one
/// document; of a file whose name ends in .jsonl every line is one: an object
/// whose "text" is a string.
class DocumentReader {
public:
  /// Opens all files, so that a wrong name is found at once. Errors: Q3001,
  /// Q5001 (an empty file), Q5006 (no file).
  static Expected<DocumentReader> open(const std::vector<std::string> &paths);

  size_t files() const { return list.size(); }
  uint64_t fileBytes(size_t i) const { return list[i]->size(); }
  static bool isJsonLines(const std::string &path);
  bool isJsonLines(size_t i) const { return isJsonLines(list[i]->path()); }

  using OnText = std::function<Status(std::string_view part)>;
  using OnEnd = std::function<Status()>;
  /// Reads file i: parts of a document, then its end, and so on. False if
  /// `progress` stopped it. Errors: Q3001, Q5004 (a bad line), the callbacks'.
  Expected<bool> read(size_t i, const OnText &onText, const OnEnd &onEnd,
                      const ReadProgress &progress);

private:
  DocumentReader() = default;
  Expected<bool> nextBlock(RandomAccessFile &file, uint64_t &at,
                           const ReadProgress &progress);
  Status readLine(const std::string &line, const std::string &path,
                  uint64_t number, const OnText &onText, const OnEnd &onEnd);

  std::vector<std::shared_ptr<RandomAccessFile>> list;
  std::string block;
  uint64_t done = 0, total = 0;
  bool stopped = false;
};

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_DOCUMENTS_H
