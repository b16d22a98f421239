//===- BpeTokenizer.cpp - Tokenizers made of merges -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/BpeTokenizer.h"
#include "runtime/tokenizer/Patterns.h"
#include "runtime/tokenizer/Utf8.h"

#include <unordered_set>

namespace qrt {

namespace {

constexpr uint32_t metaChar = 0x2581; // SentencePiece's visible space
constexpr std::string_view metaText = "\xe2\x96\x81";

/// "<0x0A>" -> 10.
std::optional<uint8_t> byteOfToken(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>')
    return std::nullopt;
  unsigned value = 0;
  for (char c : token.substr(3, 2)) {
    if (c >= '0' && c <= '9')
      value = value * 16 + unsigned(c - '0');
    else if (c >= 'A' && c <= 'F')
      value = value * 16 + unsigned(c - 'A') + 10;
    else
      return std::nullopt;
  }
  return uint8_t(value);
}

uint64_t pairKey(uint32_t left, uint32_t right) {
  return uint64_t(left) << 32 | right;
}
size_t pairHash(uint64_t key) {
  key *= 0x9e3779b97f4a7c15u;
  return size_t(key ^ key >> 31);
}
constexpr uint64_t noPair = ~uint64_t(0);

} // namespace

Expected<std::unique_ptr<BpeTokenizer>>
BpeTokenizer::create(BpeSpec spec, const std::string &where) {
  auto result = std::unique_ptr<BpeTokenizer>(new BpeTokenizer);
  BpeTokenizer &t = *result;
  t.spec = std::move(spec);

  t.ids.reserve(t.spec.tokens.size());
  for (size_t i = 0; i < t.spec.tokens.size(); ++i) {
    if (t.spec.tokens[i].empty())
      continue;
    auto [at, isNew] = t.ids.emplace(t.spec.tokens[i], TokenId(i));
    if (!isNew)
      return makeError(4003, where, "tokens {} and {} are both '{}'",
                       at->second, i, toValidUtf8(t.spec.tokens[i]));
  }

  t.special.assign(t.spec.tokens.size(), false);
  std::vector<AddedToken> before, after;
  std::unordered_set<std::string_view> contents;
  for (const AddedToken &token : t.spec.added) {
    if (token.content.empty())
      return makeError(4005, where, "the added token {} is empty", token.id);
    if (!t.inRange(token.id) ||
        t.spec.tokens[size_t(token.id)] != token.content)
      return makeError(4005, where, "the added token '{}' has no id of its own",
                       toValidUtf8(token.content));
    if (!contents.insert(token.content).second)
      return makeError(4005, where, "the added token '{}' occurs twice",
                       toValidUtf8(token.content));
    t.special[size_t(token.id)] = token.special;
    if (!token.normalized) {
      before.push_back(token);
      continue;
    }
    after.push_back(token);
    after.back().content.clear();
    t.spec.normalizer.append(after.back().content, token.content,
                             Normalizer::Position::Inside);
    if (after.back().content.empty())
      after.pop_back();
  }
  t.raw = AddedTokenMatcher(std::move(before));
  t.normalized = AddedTokenMatcher(std::move(after));

  t.table.build(t.spec.merges);
  t.makeBytes();
  t.makeFirstSymbols();
  if (!t.spec.byteLevel)
    t.makePairs();
  t.findCuts();
  return result;
}

void BpeTokenizer::setEnds(std::optional<TokenId> bos,
                           std::optional<TokenId> eos) {
  if (bos)
    spec.bos = bos;
  if (eos)
    spec.eos = eos;
}

void BpeTokenizer::makeBytes() {
  std::vector<bool> addedId(spec.tokens.size());
  for (const AddedToken &token : spec.added)
    addedId[size_t(token.id)] = true;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    bytesBegin.push_back(uint32_t(allBytes.size()));
    const std::string &text = spec.tokens[i];
    if (spec.byteLevel) {
      std::optional<std::string> bytes = textToBytes(text);
      allBytes += bytes ? *bytes : text;
    } else if (auto byte = byteOfToken(text);
               byte && spec.byteFallback && !addedId[i]) {
      allBytes += char(*byte);
    } else {
      std::string_view rest = text;
      for (size_t at; (at = rest.find(metaText)) != std::string_view::npos;
           rest.remove_prefix(at + metaText.size())) {
        allBytes += rest.substr(0, at);
        allBytes += ' ';
      }
      allBytes += rest;
    }
  }
  bytesBegin.push_back(uint32_t(allBytes.size()));
}

void BpeTokenizer::makeFirstSymbols() {
  byteSymbols.fill(-1);
  for (int b = 0; b < 256; ++b) {
    std::string name;
    if (spec.byteLevel)
      appendUtf8(name, byteToChar(uint8_t(b)));
    else if (spec.byteFallback)
      name = fmt::format("<0x{:02X}>", b);
    if (auto id = idOf(name))
      byteSymbols[size_t(b)] = *id;
  }
  if (spec.byteLevel)
    return;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const std::string &token = spec.tokens[i];
    if (token.empty() || token.size() > 4)
      continue;
    Utf8Char c = decodeUtf8(token, 0);
    if (c.valid && c.length == token.size())
      charSymbols.emplace(c.codePoint, TokenId(i));
  }
}

void BpeTokenizer::makePairs() {
  std::vector<uint64_t> all;
  std::vector<bool> seen(spec.tokens.size());
  for (const Merge &merge : spec.merges) {
    if (seen[size_t(merge.result)])
      continue;
    seen[size_t(merge.result)] = true;
    const std::string &token = spec.tokens[size_t(merge.result)];
    uint32_t left = 0;
    for (size_t i = 0; i < token.size();) {
      Utf8Char c = decodeUtf8(token, i);
      if (i > 0)
        all.push_back(pairKey(left, c.codePoint));
      left = c.codePoint;
      i += c.length;
    }
  }
  size_t size = 16;
  while (size < all.size() * 2)
    size *= 2;
  pairs.assign(size, noPair);
  for (uint64_t key : all) {
    size_t i = pairHash(key) & (size - 1);
    while (pairs[i] != noPair && pairs[i] != key)
      i = (i + 1) & (size - 1);
    pairs[i] = key;
  }
}

// No alternative of the known patterns matches a line end and then a letter or
// digit, so a word ends between them. Those of GPT-2 leave the last of several
// white spaces to what follows, which is not seen at the end of a part: there
// the line end must be alone.
void BpeTokenizer::findCuts() {
  if (!spec.byteLevel || spec.splits.empty() || !spec.prefixer.empty())
    return;
  for (const Normalizer::Step &step : spec.normalizer.steps)
    if (step.kind != Normalizer::Step::Nfc)
      return;
  for (const AddedToken &token : spec.added)
    if (token.lstrip || token.content.find('\n') != std::string::npos)
      return;
  const std::string &last = spec.splits.back().regex->pattern();
  bool single = spec.splits.size() == 1;
  if (single && (last == qwenPattern || last == llama3Pattern))
    cuts = Cuts::LineEnds;
  else if (last == gpt2Pattern &&
           (single || (spec.splits.size() == 2 &&
                       spec.splits[0].regex->pattern() == "\\p{N}")))
    cuts = Cuts::SingleLineEnds;
}

size_t BpeTokenizer::lastCut(std::string_view text) const {
  if (cuts == Cuts::None)
    return 0;
  // Letters and digits that no normalisation joins with what is before.
  auto begins = [](std::string_view rest) {
    auto c = static_cast<unsigned char>(rest[0]);
    if (c < 0x80)
      return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
             (c >= 'a' && c <= 'z');
    Utf8Char at = decodeUtf8(rest, 0);
    return at.valid && at.codePoint >= 0x4e00 && at.codePoint <= 0x9fa5;
  };
  for (size_t at = text.size(); at-- > 2;) {
    if (text[at - 1] != '\n')
      continue;
    auto before = static_cast<unsigned char>(text[at - 2]);
    if ((cuts == Cuts::LineEnds || (before > 0x20 && before < 0x7f)) &&
        begins(text.substr(at)))
      return at;
  }
  return 0;
}

bool BpeTokenizer::wordEndsBetween(uint32_t left, uint32_t right) const {
  if (spec.splitAtMeta && right == metaChar)
    return true;
  uint64_t key = pairKey(left, right);
  size_t mask = pairs.size() - 1;
  for (size_t i = pairHash(key) & mask; pairs[i] != noPair; i = (i + 1) & mask)
    if (pairs[i] == key)
      return false;
  // A run of unknown characters may have to become one token.
  return !(spec.fuseUnknown && spec.unknown && !charSymbols.count(left) &&
           !charSymbols.count(right));
}

std::optional<TokenId> BpeTokenizer::idOf(std::string_view token) const {
  auto at = ids.find(token);
  if (at == ids.end())
    return std::nullopt;
  return at->second;
}

std::string_view BpeTokenizer::bytesOf(TokenId id) const {
  if (!inRange(id))
    return {};
  uint32_t begin = bytesBegin[size_t(id)];
  return std::string_view(allBytes).substr(begin,
                                           bytesBegin[size_t(id) + 1] - begin);
}

void BpeTokenizer::encodeWord(std::string_view word, PairMerger &merger,
                              std::vector<TokenId> &scratch,
                              std::vector<TokenId> &out) const {
  scratch.clear();
  if (spec.byteLevel) {
    if (spec.ignoreMerges)
      if (auto id = idOf(bytesToText(word))) {
        out.push_back(*id);
        return;
      }
    for (char c : word) {
      TokenId id = byteSymbols[static_cast<unsigned char>(c)];
      if (id >= 0)
        scratch.push_back(id);
      else if (spec.unknown)
        scratch.push_back(*spec.unknown);
    }
  } else {
    bool lastUnknown = false;
    for (size_t i = 0; i < word.size();) {
      Utf8Char c = decodeUtf8(word, i);
      auto at = c.valid ? charSymbols.find(c.codePoint) : charSymbols.end();
      bool unknown = false;
      if (at != charSymbols.end()) {
        scratch.push_back(at->second);
      } else {
        std::string_view bytes = word.substr(i, c.length);
        bool all = true;
        for (char b : bytes)
          all &= byteSymbols[static_cast<unsigned char>(b)] >= 0;
        if (all) {
          for (char b : bytes)
            scratch.push_back(byteSymbols[static_cast<unsigned char>(b)]);
        } else if (spec.unknown) {
          unknown = true;
          if (!(spec.fuseUnknown && lastUnknown))
            scratch.push_back(*spec.unknown);
        }
      }
      lastUnknown = unknown;
      i += c.length;
    }
  }
  merger.merge(table, scratch);
  out.insert(out.end(), scratch.begin(), scratch.end());
}

} // namespace qrt
