//===- Loader.h - Batches of training and validation data -------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A sequence is a window of T + 1 tokens of one file: T inputs and, one
// further, T targets. Windows begin every T tokens, so that every token but a
// file's first is a target once an epoch.
//
// The order is a pure function. Without weights all files are one source, with
// weights each file is one. Of every 4096 sequences a source has its weight's
// share; which they are is a permutation chosen by the seed and the number of
// that block. Sequence k of a source is window permutation(seed, k / windows)[k
// % windows]. Batches take sequences in the order of their numbers, row by row;
// so neither threads nor the mesh nor a restart change what is trained on, and
// the state of the loader is one number.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_DATA_LOADER_H
#define QWEN_RUNTIME_DATA_LOADER_H

#include "runtime/core/Manifest.h"
#include "runtime/data/TokenFile.h"

#include <vector>

namespace qrt {

/// Where rows of T values go.
struct SequenceRows {
  int32_t *tokens, *targets;
  /// Optional: the number of the document of every token, from 0 in each row. A
  /// document ends with the end token, and what begins the next is no target.
  int32_t *documents = nullptr;
};

/// Token files cut into windows. May be used by several threads.
class TokenDataset {
public:
  /// `sequence` = T. Errors: those of TokenFile::open, Q5005 (ids, see
  /// TokenFile::checkVocabulary), Q5006 (no file given), Q5013 (a weight is
  /// missing).
  static Expected<TokenDataset> open(const std::vector<DataEntry> &entries,
                                     uint64_t sequence, uint64_t modelVocab);

  const std::vector<TokenFile> &files() const { return tokenFiles; }
  uint64_t sequence() const { return length; }
  uint64_t tokens() const;

  /// Whole windows: sequences of one epoch.
  uint64_t windows() const { return total; }
  /// Windows in reading order, the last of a file possibly shorter than T.
  uint64_t sequentialWindows() const { return totalSequential; }

  /// An error (Q5007) unless there is at least one whole window.
  Status requireWholeWindow() const;

  /// An error (Q5012) unless the end token of every file is known.
  Status requireDocuments() const;

  /// Fills `rows` rows with the sequences numbered `first`, `first` + 1, ...
  /// Needs requireWholeWindow(), and requireDocuments() for `documents`.
  /// Errors: Q5003, Q5005.
  Status training(uint64_t seed, uint64_t first, uint64_t rows,
                  SequenceRows out) const;

  /// The same in reading order. What is behind the end of a file, and rows
  /// behind the last window, is filled with token 0 and target -1 (ignored).
  Status sequential(uint64_t first, uint64_t rows, SequenceRows out) const;

  /// What a resumed run must find again: per file its tokens, a hash of them,
  /// and its part of the mixture.
  Expected<nlohmann::json> describe() const;

private:
  TokenDataset() = default;
  /// Files [begin, end) that are gone through together.
  struct Source {
    size_t begin = 0, end = 0;
    uint64_t windows = 0, share = 0; ///< of mixtureBlock sequences
  };
  Status divide(const std::vector<DataEntry> &entries);
  std::vector<std::pair<size_t, uint64_t>> mixBlock(uint64_t seed,
                                                    uint64_t block) const;
  Status fill(const TokenFile &file, uint64_t window, SequenceRows out) const;

  std::vector<TokenFile> tokenFiles;
  std::vector<Source> sources;
  uint64_t length = 0, vocab = 0, total = 0, totalSequential = 0;
};

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_LOADER_H
