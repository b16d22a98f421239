//===- Loader.h - Batches of training and validation data -------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A sequence is a window of T + 1 tokens of one file: T inputs and, one
// further, T targets. Windows begin every T tokens, so that every token but a
// file's first is a target once an epoch.
//
// The order is a pure function: sequence number k (counted over the whole run)
// is window permutation(seed, k / windows)[k % windows]. Batches take sequences
// in the order of their numbers, row by row; so neither threads nor the mesh
// nor a restart change what is trained on, and the state of the loader is one
// number.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_DATA_LOADER_H
#define QWEN_RUNTIME_DATA_LOADER_H

#include "runtime/data/TokenFile.h"

#include <vector>

namespace qrt {

/// Token files cut into windows. May be used by several threads.
class TokenDataset {
public:
  /// `sequence` = T. Errors: Q3001, Q5001, Q5002, Q5005 (ids, see
  /// TokenFile::checkVocabulary), Q5006 (no file given).
  static Expected<TokenDataset> open(const std::vector<std::string> &paths,
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

  /// Fills `rows` rows of T tokens and T targets with the sequences numbered
  /// `first`, `first` + 1, ... Needs requireWholeWindow(). Errors: Q5003,
  /// Q5005.
  Status training(uint64_t seed, uint64_t first, uint64_t rows, int32_t *tokens,
                  int32_t *targets) const;

  /// The same in reading order. What is behind the end of a file, and rows
  /// behind the last window, is filled with token 0 and target -1 (ignored).
  Status sequential(uint64_t first, uint64_t rows, int32_t *tokens,
                    int32_t *targets) const;

private:
  TokenDataset() = default;
  Status fill(const TokenFile &file, uint64_t window, int32_t *tokens,
              int32_t *targets) const;

  std::vector<TokenFile> tokenFiles;
  uint64_t length = 0, vocab = 0, total = 0, totalSequential = 0;
};

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_LOADER_H
