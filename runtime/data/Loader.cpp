//===- Loader.cpp - Batches of training and validation data ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/data/Loader.h"
#include "runtime/data/Random.h"

#include <algorithm>
#include <tuple>

namespace qrt {

namespace {

/// Sequences over which the shares of a mixture are exact.
constexpr uint64_t mixtureBlock = 4096;

uint64_t wholeWindows(const TokenFile &file, uint64_t length) {
  return (file.size() - 1) / length;
}

uint64_t allWindows(const TokenFile &file, uint64_t length) {
  return (file.size() - 1 + length - 1) / length;
}

} // namespace

Expected<TokenDataset> TokenDataset::open(const std::vector<DataEntry> &entries,
                                          uint64_t sequence,
                                          uint64_t modelVocab) {
  if (entries.empty())
    return makeError(5006, "", "no token file is given");
  TokenDataset d;
  d.length = std::max<uint64_t>(sequence, 1);
  d.vocab = modelVocab;
  for (const DataEntry &entry : entries) {
    QRT_ASSIGN_OR_RETURN(TokenFile file,
                         TokenFile::open(entry.file, entry.width));
    QRT_RETURN_IF_ERROR(file.checkVocabulary(modelVocab));
    d.total += wholeWindows(file, d.length);
    d.totalSequential += allWindows(file, d.length);
    d.tokenFiles.push_back(std::move(file));
  }
  QRT_RETURN_IF_ERROR(d.divide(entries));
  return d;
}

/// Makes the sources and their shares of a block.
Status TokenDataset::divide(const std::vector<DataEntry> &entries) {
  double sum = 0;
  const DataEntry *missing = nullptr;
  for (const DataEntry &entry : entries) {
    sum += entry.weight;
    if (entry.weight == 0)
      missing = &entry;
  }
  if (sum == 0) {
    sources = {{0, tokenFiles.size(), total, mixtureBlock}};
    return {};
  }
  if (missing)
    return makeError(5013, missing->file,
                     "the file has no weight, but others have: give all of "
                     "them a weight, or none");
  // Every source gets the rounded part, one at least; what is missing or too
  // much goes to the largest.
  size_t largest = 0;
  uint64_t given = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    Source source{i, i + 1, wholeWindows(tokenFiles[i], length), 0};
    if (source.windows == 0)
      return makeError(5007, tokenFiles[i].path(),
                       "a sequence of {} tokens and its last target do not fit "
                       "into the {} tokens of the file",
                       length, tokenFiles[i].size());
    double part = entries[i].weight / sum * double(mixtureBlock);
    source.share = std::max<uint64_t>(1, uint64_t(part + 0.5));
    given += source.share;
    sources.push_back(source);
    if (source.share > sources[largest].share)
      largest = i;
  }
  if (given > mixtureBlock + sources[largest].share - 1)
    return makeError(5013, "", "{} weighted files are too many",
                     sources.size());
  sources[largest].share += mixtureBlock - given;
  return {};
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

Status TokenDataset::requireDocuments() const {
  for (const TokenFile &file : tokenFiles)
    if (!file.eosId())
      return makeError(5012, file.path(),
                       "train.document_mask needs to know where documents end, "
                       "but no meta.json beside the file tells an eos_id");
  return {};
}

Status TokenDataset::fill(const TokenFile &file, uint64_t window,
                          SequenceRows out) const {
  uint64_t begin = window * length;
  uint64_t n = std::min(length, file.size() - 1 - begin);
  int32_t *tokens = out.tokens, *targets = out.targets;
  QRT_RETURN_IF_ERROR(file.read(begin, n, tokens));
  QRT_RETURN_IF_ERROR(file.checkIds(begin, n, tokens, vocab));
  std::copy(tokens + 1, tokens + n, targets);
  QRT_RETURN_IF_ERROR(file.read(begin + n, 1, targets + n - 1));
  QRT_RETURN_IF_ERROR(file.checkIds(begin + n, 1, targets + n - 1, vocab));
  QRT_RETURN_IF_ERROR(file.applyMask(begin + 1, n, targets));
  std::fill(tokens + n, tokens + length, 0);
  std::fill(targets + n, targets + length, -1);
  if (out.documents) {
    int32_t document = 0, eos = file.eosId().value_or(-1);
    for (uint64_t i = 0; i < length; ++i) {
      out.documents[i] = document;
      if (i < n && tokens[i] == eos) {
        ++document;
        targets[i] = -1;
      }
    }
  }
  return {};
}

namespace {

SequenceRows rowOf(const SequenceRows &rows, uint64_t row, uint64_t length) {
  uint64_t at = row * length;
  return {rows.tokens + at, rows.targets + at,
          rows.documents ? rows.documents + at : nullptr};
}

} // namespace

/// The source of every sequence of a block, and its number in that source: a
/// source goes through its windows in the order in which they are consumed.
std::vector<std::pair<size_t, uint64_t>>
TokenDataset::mixBlock(uint64_t seed, uint64_t block) const {
  std::vector<uint64_t> used(sources.size());
  std::vector<std::pair<size_t, uint64_t>> table(mixtureBlock);
  for (uint64_t i = 0; i < mixtureBlock; ++i) {
    uint64_t drawn =
        permute(i, mixtureBlock, mixKey(seed, 0x6d6978 /*mix*/, block));
    size_t from = 0;
    for (; drawn >= sources[from].share; ++from)
      drawn -= sources[from].share;
    table[i] = {from, block * sources[from].share + used[from]++};
  }
  return table;
}

Status TokenDataset::training(uint64_t seed, uint64_t first, uint64_t rows,
                              SequenceRows out) const {
  QRT_RETURN_IF_ERROR(requireWholeWindow());
  std::vector<std::pair<size_t, uint64_t>> table;
  uint64_t tableBlock = ~uint64_t(0);
  for (uint64_t row = 0; row < rows; ++row) {
    uint64_t number = first + row;
    size_t from = 0;
    if (sources.size() > 1) {
      uint64_t block = number / mixtureBlock;
      if (block != tableBlock) {
        table = mixBlock(seed, block);
        tableBlock = block;
      }
      std::tie(from, number) = table[number % mixtureBlock];
    }
    const Source &source = sources[from];
    uint64_t key =
        mixKey(seed, 0x6f72646572 /*order*/, number / source.windows);
    if (from > 0)
      key = mixKey(key, from);
    uint64_t window = permute(number % source.windows, source.windows, key);
    for (size_t i = source.begin; i < source.end; ++i) {
      uint64_t here = wholeWindows(tokenFiles[i], length);
      if (window < here) {
        QRT_RETURN_IF_ERROR(
            fill(tokenFiles[i], window, rowOf(out, row, length)));
        break;
      }
      window -= here;
    }
  }
  return {};
}

Status TokenDataset::sequential(uint64_t first, uint64_t rows,
                                SequenceRows out) const {
  for (uint64_t row = 0; row < rows; ++row) {
    uint64_t window = first + row;
    SequenceRows to = rowOf(out, row, length);
    bool found = false;
    for (const TokenFile &file : tokenFiles) {
      uint64_t here = allWindows(file, length);
      if (window < here) {
        QRT_RETURN_IF_ERROR(fill(file, window, to));
        found = true;
        break;
      }
      window -= here;
    }
    if (!found) {
      std::fill(to.tokens, to.tokens + length, 0);
      std::fill(to.targets, to.targets + length, -1);
      if (to.documents)
        std::fill(to.documents, to.documents + length, 0);
    }
  }
  return {};
}

Expected<nlohmann::json> TokenDataset::describe() const {
  nlohmann::json files = nlohmann::json::array();
  for (size_t i = 0; i < tokenFiles.size(); ++i) {
    QRT_ASSIGN_OR_RETURN(std::string hash, tokenFiles[i].fingerprint());
    nlohmann::json file = {{"tokens", tokenFiles[i].size()}, {"hash", hash}};
    if (sources.size() > 1)
      file["share"] = sources[i].share;
    files.push_back(std::move(file));
  }
  return files;
}

} // namespace qrt
