//===- Loader.cpp - Batches of training and validation data ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/data/Loader.h"
#include "runtime/data/Random.h"

#include <algorithm>

namespace qrt {

namespace {

uint64_t wholeWindows(const TokenFile &file, uint64_t length) {
  return (file.size() - 1) / length;
}

uint64_t allWindows(const TokenFile &file, uint64_t length) {
  return (file.size() - 1 + length - 1) / length;
}

} // namespace

Expected<TokenDataset> TokenDataset::open(const std::vector<std::string> &paths,
                                          uint64_t sequence,
                                          uint64_t modelVocab) {
  if (paths.empty())
    return makeError(5006, "", "no token file is given");
  TokenDataset d;
  d.length = std::max<uint64_t>(sequence, 1);
  d.vocab = modelVocab;
  for (const std::string &path : paths) {
    QRT_ASSIGN_OR_RETURN(TokenFile file, TokenFile::open(path));
    QRT_RETURN_IF_ERROR(file.checkVocabulary(modelVocab));
    d.total += wholeWindows(file, d.length);
    d.totalSequential += allWindows(file, d.length);
    d.tokenFiles.push_back(std::move(file));
  }
  return d;
}

uint64_t TokenDataset::tokens() const {
  uint64_t sum = 0;
  for (const TokenFile &file : tokenFiles)
    sum += file.size();
  return sum;
}

Status TokenDataset::requireWholeWindow() const {
  if (total > 0)
    return {};
  const TokenFile *longest = &tokenFiles[0];
  for (const TokenFile &file : tokenFiles)
    if (file.size() > longest->size())
      longest = &file;
  return makeError(
      5007, longest->path(),
      "a sequence of {} tokens and its last target do not fit into "
      "the {} tokens of the file: prepare more text, or recompile "
      "with --set train.sequence={} or less",
      length, longest->size(), std::max<uint64_t>(longest->size() - 1, 1));
}

Status TokenDataset::fill(const TokenFile &file, uint64_t window,
                          int32_t *tokens, int32_t *targets) const {
  uint64_t begin = window * length;
  uint64_t n = std::min(length, file.size() - 1 - begin);
  QRT_RETURN_IF_ERROR(file.read(begin, n, tokens));
  QRT_RETURN_IF_ERROR(file.checkIds(begin, n, tokens, vocab));
  std::copy(tokens + 1, tokens + n, targets);
  QRT_RETURN_IF_ERROR(file.read(begin + n, 1, targets + n - 1));
  QRT_RETURN_IF_ERROR(file.checkIds(begin + n, 1, targets + n - 1, vocab));
  std::fill(tokens + n, tokens + length, 0);
  std::fill(targets + n, targets + length, -1);
  return {};
}

Status TokenDataset::training(uint64_t seed, uint64_t first, uint64_t rows,
                              int32_t *tokens, int32_t *targets) const {
  QRT_RETURN_IF_ERROR(requireWholeWindow());
  for (uint64_t row = 0; row < rows; ++row) {
    uint64_t number = first + row;
    uint64_t epoch = number / total;
    uint64_t window = permute(number % total, total,
                              mixKey(seed, 0x6f72646572 /*order*/, epoch));
    for (const TokenFile &file : tokenFiles) {
      uint64_t here = wholeWindows(file, length);
      if (window < here) {
        QRT_RETURN_IF_ERROR(
            fill(file, window, tokens + row * length, targets + row * length));
        break;
      }
      window -= here;
    }
  }
  return {};
}

Status TokenDataset::sequential(uint64_t first, uint64_t rows, int32_t *tokens,
                                int32_t *targets) const {
  for (uint64_t row = 0; row < rows; ++row) {
    uint64_t window = first + row;
    int32_t *rowTokens = tokens + row * length;
    int32_t *rowTargets = targets + row * length;
    bool found = false;
    for (const TokenFile &file : tokenFiles) {
      uint64_t here = allWindows(file, length);
      if (window < here) {
        QRT_RETURN_IF_ERROR(fill(file, window, rowTokens, rowTargets));
        found = true;
        break;
      }
      window -= here;
    }
    if (!found) {
      std::fill(rowTokens, rowTokens + length, 0);
      std::fill(rowTargets, rowTargets + length, -1);
    }
  }
  return {};
}

} // namespace qrt
