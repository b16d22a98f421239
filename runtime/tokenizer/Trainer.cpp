//===- Trainer.cpp - Making a byte-level vocabulary from text -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Trainer.h"
#include "runtime/core/Suggest.h"
#include "runtime/tokenizer/BpeTokenizer.h"
#include "runtime/tokenizer/Patterns.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>
#include <cstring>
#include <queue>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace qrt {

//===----------------------------------------------------------------------===//
// Counting words
//===----------------------------------------------------------------------===//

struct TokenizerTrainer::Counter {
  struct Slot {
    uint64_t hash = 0, count = 0, begin = 0;
    uint32_t length = 0; // 0: free
  };

  size_t maxWords;
  std::vector<Slot> slots = std::vector<Slot>(1024);
  std::string bytes;
  size_t used = 0;

  explicit Counter(size_t maxWords) : maxWords(maxWords) {}

  void add(std::string_view word) {
    // A "word" of many kilobytes is no word; its merges would be noise.
    for (constexpr size_t most = 4096; word.size() > most;
         word.remove_prefix(most))
      add(word.substr(0, most));
    uint64_t hash = XXH3_64bits(word.data(), word.size());
    size_t mask = slots.size() - 1, i = hash & mask;
    for (; slots[i].length; i = (i + 1) & mask)
      if (slots[i].hash == hash && slots[i].length == word.size() &&
          std::memcmp(bytes.data() + slots[i].begin, word.data(),
                      word.size()) == 0) {
        ++slots[i].count;
        return;
      }
    slots[i] = {hash, 1, bytes.size(), uint32_t(word.size())};
    bytes += word;
    if (++used > maxWords || bytes.size() > maxWords * 64)
      forget();
    if (used * 2 > slots.size())
      rebuild(slots.size() * 2, 0);
  }

  /// Drops the rarest words until half of them are gone.
  void forget() {
    size_t before = used, bytesBefore = bytes.size();
    for (uint64_t rare = 1; used > before / 2 || bytes.size() > bytesBefore / 2;
         rare *= 2)
      rebuild(slots.size(), rare);
  }

  /// Moves the words that occur more than `rare` times to a new table.
  void rebuild(size_t size, uint64_t rare) {
    std::vector<Slot> old(size);
    old.swap(slots);
    std::string oldBytes;
    oldBytes.swap(bytes);
    used = 0;
    for (const Slot &slot : old) {
      if (!slot.length || slot.count <= rare)
        continue;
      size_t i = slot.hash & (size - 1);
      while (slots[i].length)
        i = (i + 1) & (size - 1);
      slots[i] = slot;
      slots[i].begin = bytes.size();
      bytes.append(oldBytes, slot.begin, slot.length);
      ++used;
    }
  }

  /// All words with their counts, in an order that depends on nothing else.
  std::vector<std::pair<std::string, uint64_t>> sorted() const {
    std::vector<std::pair<std::string, uint64_t>> words;
    words.reserve(used);
    for (const Slot &slot : slots)
      if (slot.length)
        words.emplace_back(bytes.substr(slot.begin, slot.length), slot.count);
    std::sort(words.begin(), words.end());
    return words;
  }
};

//===----------------------------------------------------------------------===//
// Joining pairs
//===----------------------------------------------------------------------===//

namespace {

class PairJoiner {
public:
  /// `alphabet`: the symbol of each byte.
  PairJoiner(const std::vector<std::pair<std::string, uint64_t>> &counted,
             const std::array<TokenId, 256> &alphabet) {
    for (const auto &[text, count] : counted) {
      words.push_back({symbols.size(), uint32_t(text.size()), count});
      for (char c : text)
        symbols.push_back(alphabet[static_cast<unsigned char>(c)]);
    }
    for (uint32_t w = 0; w < words.size(); ++w)
      countWord(w, +1);
    pushChanged();
  }

  struct Best {
    TokenId left, right;
    uint64_t count;
  };
  /// The most frequent pair; of equal ones that of the smallest ids. Count 0 if
  /// there is none.
  Best best() {
    while (!heap.empty()) {
      Entry top = heap.top();
      heap.pop();
      uint64_t now = pairs[top.key].count;
      if (now == top.count && now > 0)
        return {TokenId(top.key >> 32), TokenId(uint32_t(top.key)), now};
      if (now > 0 && now < top.count)
        heap.push({now, top.key}); // it lost words since; look again
    }
    return {-1, -1, 0};
  }

  /// Replaces the pair by `joined` in all words.
  void join(const Best &pair, TokenId joined) {
    uint64_t key = keyOf(pair.left, pair.right);
    std::vector<uint32_t> where;
    where.swap(pairs[key].words);
    for (uint32_t w : where) {
      Word &word = words[w];
      TokenId *s = symbols.data() + word.begin;
      bool occurs = false;
      for (uint32_t i = 0; i + 1 < word.length && !occurs; ++i)
        occurs = s[i] == pair.left && s[i + 1] == pair.right;
      if (!occurs)
        continue; // an entry from before other joins
      countWord(w, -1);
      uint32_t out = 0;
      for (uint32_t i = 0; i < word.length; ++i) {
        bool here =
            i + 1 < word.length && s[i] == pair.left && s[i + 1] == pair.right;
        s[out++] = here ? joined : s[i];
        i += here;
      }
      word.length = out;
      countWord(w, +1);
    }
    pairs.erase(key);
    pushChanged();
  }

private:
  struct Word {
    size_t begin;
    uint32_t length;
    uint64_t count;
  };
  struct Pair {
    uint64_t count = 0;
    std::vector<uint32_t> words; // may hold words that lost the pair, or twice
  };
  struct Entry {
    uint64_t count, key;
    bool operator<(const Entry &o) const { // "comes later"
      return count != o.count ? count < o.count : key > o.key;
    }
  };

  static uint64_t keyOf(TokenId left, TokenId right) {
    return uint64_t(uint32_t(left)) << 32 | uint32_t(right);
  }

  void countWord(uint32_t w, int sign) {
    const Word &word = words[w];
    const TokenId *s = symbols.data() + word.begin;
    for (uint32_t i = 0; i + 1 < word.length; ++i) {
      uint64_t key = keyOf(s[i], s[i + 1]);
      Pair &pair = pairs[key];
      if (sign < 0) {
        pair.count -= word.count;
        continue;
      }
      pair.count += word.count;
      if (pair.words.empty() || pair.words.back() != w)
        pair.words.push_back(w);
      changed.push_back(key);
    }
  }

  /// Pairs that may have become more frequent get a new entry; the entries of
  /// those that became rarer are corrected when they come up.
  void pushChanged() {
    std::sort(changed.begin(), changed.end());
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
    for (uint64_t key : changed)
      if (auto at = pairs.find(key); at != pairs.end() && at->second.count > 0)
        heap.push({at->second.count, key});
    changed.clear();
  }

  std::vector<Word> words;
  std::vector<TokenId> symbols;
  std::unordered_map<uint64_t, Pair> pairs;
  std::vector<uint64_t> changed;
  std::priority_queue<Entry> heap;
};

/// The 256 byte tokens in GPT-2's order of ids: printable ones first.
void addAlphabet(BpeSpec &spec, std::array<TokenId, 256> &alphabet) {
  for (bool printable : {true, false})
    for (int b = 0; b < 256; ++b) {
      uint32_t c = byteToChar(uint8_t(b));
      if ((c < 256) != printable)
        continue;
      alphabet[size_t(b)] = TokenId(spec.tokens.size());
      spec.tokens.emplace_back();
      appendUtf8(spec.tokens.back(), c);
    }
}

} // namespace

//===----------------------------------------------------------------------===//
// The trainer
//===----------------------------------------------------------------------===//

TokenizerTrainer::TokenizerTrainer() = default;
TokenizerTrainer::~TokenizerTrainer() = default;

namespace {

/// The tokenizer without any merges: all that training has to add.
Expected<BpeSpec> baseSpec(const TokenizerTrainerOptions &options,
                           std::array<TokenId, 256> &alphabet) {
  const PreTokenizerInfo *pre = findPreTokenizer(options.pattern);
  if (!pre)
    return makeError(4002, "", "the pre-tokenizer '{}' is not known{}",
                     options.pattern,
                     didYouMean(options.pattern, preTokenizerNames()));
  BpeSpec spec;
  addAlphabet(spec, alphabet);
  for (std::string_view pattern : pre->patterns) {
    QRT_ASSIGN_OR_RETURN(auto regex, Regex::compile(pattern, ""));
    spec.splits.push_back({std::move(regex), true, true});
  }
  if (pre->nfc)
    spec.normalizer.steps.push_back({Normalizer::Step::Nfc, "", ""});
  return spec;
}

void addSpecial(BpeSpec &spec, const std::vector<std::string> &special) {
  for (const std::string &content : special) {
    AddedToken token;
    token.id = TokenId(spec.tokens.size());
    token.content = content;
    token.special = true;
    spec.tokens.push_back(content);
    spec.added.push_back(std::move(token));
  }
}

} // namespace

Expected<std::unique_ptr<TokenizerTrainer>>
TokenizerTrainer::create(const TokenizerTrainerOptions &options) {
  size_t least = 256 + options.special.size();
  if (options.vocabSize < least || options.vocabSize > size_t(1) << 24)
    return makeError(4009, "",
                     "a vocabulary of {} tokens is not possible: {} to {} are "
                     "(256 bytes and {} special tokens are always in it)",
                     options.vocabSize, least, size_t(1) << 24,
                     options.special.size());
  auto trainer = std::unique_ptr<TokenizerTrainer>(new TokenizerTrainer);
  trainer->options = options;
  trainer->counter = std::make_unique<Counter>(options.maxWords);
  std::array<TokenId, 256> alphabet;
  QRT_ASSIGN_OR_RETURN(BpeSpec spec, baseSpec(options, alphabet));
  addSpecial(spec, options.special);
  QRT_ASSIGN_OR_RETURN(auto base,
                       BpeTokenizer::create(std::move(spec), "--special"));
  Counter *counter = trainer->counter.get();
  trainer->splitter = base->wordSplitter(
      [counter](std::string_view word) { counter->add(word); });
  trainer->base = std::move(base);
  return trainer;
}

Status TokenizerTrainer::feed(std::string_view text) {
  std::vector<TokenId> none;
  return splitter->feed(text, none);
}

Status TokenizerTrainer::endDocument() {
  std::vector<TokenId> none;
  return splitter->finish(none);
}

Expected<std::unique_ptr<Tokenizer>> TokenizerTrainer::train() {
  QRT_RETURN_IF_ERROR(endDocument());
  std::array<TokenId, 256> alphabet;
  QRT_ASSIGN_OR_RETURN(BpeSpec spec, baseSpec(options, alphabet));
  std::unordered_map<std::string, TokenId> ids;
  for (size_t i = 0; i < spec.tokens.size(); ++i)
    ids.emplace(spec.tokens[i], TokenId(i));

  PairJoiner joiner(counter->sorted(), alphabet);
  size_t wanted = options.vocabSize - options.special.size();
  while (spec.tokens.size() < wanted) {
    PairJoiner::Best best = joiner.best();
    if (best.count < 2) // a pair seen once teaches nothing
      return makeError(4009, "",
                       "the text has too few repeated pairs for a vocabulary "
                       "of {} tokens; {} are possible",
                       options.vocabSize,
                       spec.tokens.size() + options.special.size());
    std::string text =
        spec.tokens[size_t(best.left)] + spec.tokens[size_t(best.right)];
    // Two pairs can make up one token.
    auto [at, isNew] = ids.emplace(text, TokenId(spec.tokens.size()));
    if (isNew)
      spec.tokens.push_back(text);
    spec.merges.push_back(
        {best.left, best.right, at->second, uint32_t(spec.merges.size())});
    joiner.join(best, at->second);
  }
  addSpecial(spec, options.special);
  QRT_ASSIGN_OR_RETURN(std::string json, writeTokenizerJson(spec));
  return tokenizerFromJson(std::move(json), "tokenizer.json");
}

} // namespace qrt
