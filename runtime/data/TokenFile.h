//===- TokenFile.h - Files of token ids -------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ours is plain: u32, little endian, and a meta.json beside it. Read as well
// are files with a header, told by its magic number (llm.c's of 16 and 32 bits,
// llmq's), and plain files of other programs, whose width must be told.
//
// A file may come with a mask: one bit a token, the lowest first, 1 if the
// token counts as a target. llmq's files end with it, ours have it beside them:
// train.mask for train.bin.
//
// Files are of any size and read through the page cache by pread: a window is
// copied once, as from a mapping, but a file that shrinks is an error and not a
// signal.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_DATA_TOKENFILE_H
#define QWEN_RUNTIME_DATA_TOKENFILE_H

#include "runtime/core/Error.h"
#include "runtime/weights/File.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace qrt {

class TokenFile {
public:
  /// `width`: bytes of an id of a file without header; 0: meta.json tells.
  /// Errors: Q3001, Q5001 (empty), Q5002 (the size does not fit the header, a
  /// damaged meta.json), Q5011 (nothing tells the width, or two disagree).
  static Expected<TokenFile> open(const std::string &path, unsigned width = 0);

  const std::string &path() const { return file->path(); }
  /// Number of tokens.
  uint64_t size() const { return count; }
  /// Bytes of one id in the file: 2 or 4.
  unsigned width() const { return bytes; }
  /// What meta.json or the header says, if anything: the length of the
  /// tokenizer and the bytes of text behind the tokens.
  std::optional<uint64_t> vocabSize() const { return vocab; }
  std::optional<uint64_t> textBytes() const { return text; }
  std::optional<int32_t> eosId() const { return eos; }
  bool hasMask() const { return maskFile != nullptr; }

  /// A hash of the size and of parts of the contents all over the file: two
  /// files of different data do not share it.
  Expected<std::string> fingerprint() const;

  /// Reads tokens [begin, begin + n). An id of 2^31 or more becomes negative.
  /// Errors: Q5003 (the file became shorter).
  Status read(uint64_t begin, uint64_t n, int32_t *out) const;

  /// Puts -1 for those of the targets [begin, begin + n) that the mask leaves
  /// out. Errors: Q5003.
  Status applyMask(uint64_t begin, uint64_t n, int32_t *targets) const;

  /// Checks ids of a read against a model's vocabulary. Errors: Q5005.
  Status checkIds(uint64_t begin, uint64_t n, const int32_t *ids,
                  uint64_t modelVocab) const;
  /// Checks what can be known without training: the size in meta.json, and all
  /// ids unless the file is very large (then each batch is checked as it is
  /// read). Errors: Q5003, Q5005.
  Status checkVocabulary(uint64_t modelVocab) const;

private:
  TokenFile() = default;
  Status readHeader(unsigned width);
  Status readMeta();
  Status openMask();

  std::shared_ptr<RandomAccessFile> file, maskFile;
  uint64_t begin = 0;     // of the first token, in bytes
  uint64_t maskBegin = 0; // of the first bit, in bytes of maskFile
  uint64_t count = 0;
  unsigned bytes = 0;
  bool plain = false;
  std::optional<uint64_t> vocab, text;
  std::optional<int32_t> eos;
};

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_TOKENFILE_H
