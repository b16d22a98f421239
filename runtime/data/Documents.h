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
#include <optional>
#include <string>
#include <string_view>

namespace qrt {

/// A text file that is read once, in blocks; gzip files are unpacked (told by
/// their first bytes). A plain file is one document; of a file whose name ends
/// in .jsonl (or .jsonl.gz) every line is one.
class TextFile {
public:
  /// Errors: Q3001, Q5001 (empty).
  static Expected<TextFile> open(const std::string &path);
  ~TextFile();
  TextFile(TextFile &&other) noexcept;
  TextFile &operator=(TextFile &&) = delete;

  const std::string &path() const { return file->path(); }
  bool isJsonLines() const;
  /// Bytes in the file, and of them those that were read.
  uint64_t size() const { return file->size(); }
  uint64_t position() const { return at; }

  /// Appends up to about 1 MiB of text; false at the end. Errors: Q3001, Q5014
  /// (damaged gzip data).
  Expected<bool> next(std::string &text);

  /// The bytes of text in the whole file; unpacks a gzip file to count them.
  Expected<uint64_t> textBytes() const;

private:
  TextFile() = default;
  Status inflateBlock(std::string &text);

  std::shared_ptr<RandomAccessFile> file;
  uint64_t at = 0;
  void *stream = nullptr; // of zlib, for gzip files
  bool ended = true;      // between two members of a gzip file
  std::string packed;
  size_t packedTaken = 0;
};

/// A document of a .jsonl file: an object with a "text", or with a "prompt" and
/// a "completion", of which only the latter is learnt.
struct LineDocument {
  std::string prompt, text;
  bool hasPrompt = false;
};

/// Nothing for a blank line. Errors: Q5004, at `where` (file:line).
Expected<std::optional<LineDocument>> parseLine(std::string_view line,
                                                const std::string &where);

/// Reads a whole file: parts of a document, then its end, and so on. False if
/// `progress`, which gets the position in the file, stopped it. Errors: those
/// of TextFile::next, Q5004, the callbacks'.
Expected<bool>
readDocuments(TextFile &file,
              const std::function<Status(std::string_view part)> &onText,
              const std::function<Status()> &onEnd,
              const std::function<bool(uint64_t)> &progress);

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_DOCUMENTS_H
