//===- Bpe.cpp - Byte pair encoding of one word ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Bpe.h"

#include <algorithm>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace qrt {

void MergeTable::build(const std::vector<Merge> &merges) {
  size_t size = 16;
  while (size < merges.size() * 2)
    size *= 2;
  slots.assign(size, Slot());
  mask = size - 1;
  for (const Merge &m : merges) {
    uint64_t key = uint64_t(uint32_t(m.left)) << 32 | uint32_t(m.right);
    size_t i = hash(key) & mask;
    while (slots[i].key != emptyKey && slots[i].key != key)
      i = (i + 1) & mask;
    slots[i].key = key;
    slots[i].found = {m.rank, m.result};
  }
}

namespace {
constexpr uint32_t noRank = ~uint32_t(0);
constexpr size_t shortWord = 24;
} // namespace

void PairMerger::merge(const MergeTable &table, std::vector<TokenId> &symbols) {
  if (symbols.size() < 2)
    return;
  if (symbols.size() <= shortWord)
    mergeShort(table, symbols);
  else
    mergeLong(table, symbols);
}

// Quadratic, without any bookkeeping: fastest for the words of real text.
void PairMerger::mergeShort(const MergeTable &table,
                            std::vector<TokenId> &symbols) {
  size_t n = symbols.size();
  auto rankAt = [&](size_t i) {
    const MergeTable::Found *found = table.find(symbols[i], symbols[i + 1]);
    return found ? found->rank : noRank;
  };
  ranks.resize(n);
  for (size_t i = 0; i + 1 < n; ++i)
    ranks[i] = rankAt(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i)
      if (ranks[i] < ranks[best])
        best = i;
    if (ranks[best] == noRank)
      break;
    symbols[best] = table.find(symbols[best], symbols[best + 1])->result;
    --n;
    for (size_t i = best + 1; i < n; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
    }
    if (best + 1 < n)
      ranks[best] = rankAt(best);
    if (best > 0)
      ranks[best - 1] = rankAt(best - 1);
  }
  symbols.resize(n);
}

// A linked list of symbols and a heap of candidates, some of them out of date.
void PairMerger::mergeLong(const MergeTable &table,
                           std::vector<TokenId> &symbols) {
  constexpr uint32_t none = ~uint32_t(0);
  uint32_t n = uint32_t(symbols.size());
  next.resize(n);
  previous.resize(n);
  heap.clear();
  auto later = [](const Candidate &a, const Candidate &b) {
    return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
  };
  auto candidate = [&](uint32_t i, Candidate &c) {
    if (i == none || next[i] == none)
      return false;
    TokenId left = symbols[i], right = symbols[next[i]];
    const MergeTable::Found *found = table.find(left, right);
    if (found)
      c = {found->rank, i, left, right};
    return found != nullptr;
  };
  for (uint32_t i = 0; i < n; ++i) {
    previous[i] = i ? i - 1 : none;
    next[i] = i + 1 < n ? i + 1 : none;
  }
  Candidate c;
  for (uint32_t i = 0; i < n; ++i)
    if (candidate(i, c))
      heap.push_back(c);
  std::make_heap(heap.begin(), heap.end(), later);

  std::vector<bool> gone(n);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    Candidate top = heap.back();
    heap.pop_back();
    uint32_t i = top.at;
    if (gone[i] || next[i] == none || symbols[i] != top.left ||
        symbols[next[i]] != top.right)
      continue;
    uint32_t j = next[i];
    symbols[i] = table.find(top.left, top.right)->result;
    gone[j] = true;
    next[i] = next[j];
    if (next[i] != none)
      previous[next[i]] = i;
    for (uint32_t at : {previous[i], i})
      if (candidate(at, c)) {
        heap.push_back(c);
        std::push_heap(heap.begin(), heap.end(), later);
      }
  }
  size_t out = 0;
  for (uint32_t i = 0; i != none; i = next[i])
    symbols[out++] = symbols[i];
  symbols.resize(out);
}

namespace {
constexpr size_t maxCachedWord = 64;
constexpr size_t maxSlots = size_t(1) << 18;
constexpr size_t maxCacheBytes = size_t(8) << 20;
} // namespace

WordCache::WordCache() : slots(256) {}

bool WordCache::find(std::string_view word, const TokenId *&found,
                     size_t &count) const {
  if (word.size() > maxCachedWord)
    return false;
  uint64_t hash = XXH3_64bits(word.data(), word.size());
  size_t mask = slots.size() - 1;
  for (size_t i = hash & mask; slots[i].length; i = (i + 1) & mask) {
    const Slot &slot = slots[i];
    if (slot.hash == hash && slot.length == word.size() &&
        std::memcmp(&bytes[slot.bytes], word.data(), word.size()) == 0) {
      found = ids.data() + slot.ids;
      count = slot.count;
      return true;
    }
  }
  return false;
}

void WordCache::insert(std::string_view word, const TokenId *wordIds,
                       size_t count) {
  if (word.empty() || word.size() > maxCachedWord)
    return;
  if (used * 2 >= slots.size())
    grow();
  if (bytes.size() + ids.size() * sizeof(TokenId) > maxCacheBytes ||
      used * 2 >= slots.size()) {
    std::fill(slots.begin(), slots.end(), Slot());
    bytes.clear();
    ids.clear();
    used = 0;
  }
  uint64_t hash = XXH3_64bits(word.data(), word.size());
  size_t mask = slots.size() - 1;
  size_t i = hash & mask;
  while (slots[i].length)
    i = (i + 1) & mask;
  slots[i] = {hash, uint32_t(bytes.size()), uint32_t(word.size()),
              uint32_t(ids.size()), uint32_t(count)};
  bytes.insert(bytes.end(), word.begin(), word.end());
  ids.insert(ids.end(), wordIds, wordIds + count);
  ++used;
}

void WordCache::grow() {
  if (slots.size() >= maxSlots)
    return;
  std::vector<Slot> old(slots.size() * 2);
  old.swap(slots);
  size_t mask = slots.size() - 1;
  for (const Slot &slot : old) {
    if (!slot.length)
      continue;
    size_t i = slot.hash & mask;
    while (slots[i].length)
      i = (i + 1) & mask;
    slots[i] = slot;
  }
}

} // namespace qrt
