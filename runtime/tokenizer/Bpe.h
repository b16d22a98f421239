//===- Bpe.h - Byte pair encoding of one word -------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_BPE_H
#define QWEN_RUNTIME_TOKENIZER_BPE_H

#include "runtime/tokenizer/AddedTokens.h"

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace qrt {

/// "left right become result"; of two pairs that could merge the one of lower
/// rank does, and of equal ranks the left one.
struct Merge {
  TokenId left = -1, right = -1, result = -1;
  uint32_t rank = 0;
};

/// All merges, by pair.
class MergeTable {
public:
  struct Found {
    uint32_t rank;
    TokenId result;
  };
  /// A later merge of the same pair takes the place of an earlier one.
  void build(const std::vector<Merge> &merges);

  /// The merge of two tokens, or null.
  const Found *find(TokenId left, TokenId right) const {
    if (slots.empty())
      return nullptr;
    uint64_t key = uint64_t(uint32_t(left)) << 32 | uint32_t(right);
    for (size_t i = hash(key) & mask;; i = (i + 1) & mask) {
      const Slot &slot = slots[i];
      if (slot.key == emptyKey)
        return nullptr;
      if (slot.key == key)
        return &slot.found;
    }
  }

private:
  // No pair of non-negative ids has this key.
  static constexpr uint64_t emptyKey = ~uint64_t(0);
  struct Slot {
    uint64_t key = emptyKey;
    Found found{0, -1};
  };
  static uint64_t hash(uint64_t key) {
    key *= 0x9e3779b97f4a7c15u;
    return key ^ key >> 29;
  }

  std::vector<Slot> slots;
  size_t mask = 0;
};

/// Merges the symbols of one word until no pair has a merge. Keeps its working
/// memory: one for each thread.
class PairMerger {
public:
  /// `symbols` in, tokens out. Negative symbols merge with nothing.
  void merge(const MergeTable &table, std::vector<TokenId> &symbols);

private:
  void mergeShort(const MergeTable &table, std::vector<TokenId> &symbols);
  void mergeLong(const MergeTable &table, std::vector<TokenId> &symbols);

  struct Candidate {
    uint32_t rank;
    uint32_t at;
    TokenId left, right;
  };
  std::vector<uint32_t> ranks;
  std::vector<Candidate> heap;
  std::vector<uint32_t> next, previous;
};

/// Tokens of the words seen lately. Bounded: it forgets everything when full.
class WordCache {
public:
  WordCache();
  /// The tokens of a word, or null.
  bool find(std::string_view word, const TokenId *&ids, size_t &count) const;
  void insert(std::string_view word, const TokenId *ids, size_t count);

private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t bytes = 0, length = 0; // of the word; length 0: free
    uint32_t ids = 0, count = 0;
  };
  void grow();

  std::vector<Slot> slots;
  size_t used = 0;
  std::vector<char> bytes;
  std::vector<TokenId> ids;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_BPE_H
