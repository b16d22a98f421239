//===- BpeTokenizer.h - Tokenizers made of merges ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One implementation for byte-level vocabularies (GPT-2, Qwen) and for those
// over characters with a fallback to bytes (SentencePiece's BPE): they differ
// in the first symbols of a word and in how text is cut into words.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_BPETOKENIZER_H
#define QWEN_RUNTIME_TOKENIZER_BPETOKENIZER_H

#include "runtime/tokenizer/Bpe.h"
#include "runtime/tokenizer/Normalizer.h"
#include "runtime/tokenizer/Regex.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <array>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace qrt {

/// One stage of a pre-tokenizer: matches of a pattern and the text between them
/// become words (or are dropped).
struct SplitStage {
  std::shared_ptr<const Regex> regex;
  bool keepMatches = true, keepGaps = true;
};

/// What defines a tokenizer. Filled by the readers and the trainer.
struct BpeSpec {
  /// Symbols are bytes, in GPT-2's alphabet; else characters.
  bool byteLevel = true;
  /// By id, as written in tokenizer.json; empty: there is no token.
  std::vector<std::string> tokens;
  std::vector<Merge> merges;
  std::vector<AddedToken> added;

  Normalizer normalizer;
  /// Applied to each stretch between all added tokens.
  Normalizer prefixer;
  std::vector<SplitStage> splits;
  /// Characters: a word begins at every U+2581.
  bool splitAtMeta = false;

  bool ignoreMerges = false; ///< a word that is a token stays whole
  bool byteFallback = false; ///< unknown characters become <0xNN> tokens
  bool fuseUnknown = false;
  std::optional<TokenId> unknown;

  /// Decoding removes one space at the beginning.
  bool addsSpace = false;
  std::optional<TokenId> bos, eos;
  bool addBos = false;

  /// The file it came from; empty if made from something else.
  std::string json;
};

class BpeTokenizer final : public Tokenizer {
public:
  /// Checks that ids are in range and contents unique. Errors: Q4003, Q4004,
  /// Q4005.
  static Expected<std::unique_ptr<BpeTokenizer>>
  create(BpeSpec spec, const std::string &where);

  size_t vocabSize() const override { return spec.tokens.size(); }
  bool hasToken(TokenId id) const override {
    return inRange(id) && !spec.tokens[size_t(id)].empty();
  }
  std::string_view tokenFor(TokenId id) const override {
    return inRange(id) ? std::string_view(spec.tokens[size_t(id)])
                       : std::string_view();
  }
  std::optional<TokenId> idOf(std::string_view token) const override;
  std::string_view bytesOf(TokenId id) const override;
  bool isSpecial(TokenId id) const override {
    return inRange(id) && special[size_t(id)];
  }
  const std::vector<AddedToken> &addedTokens() const override {
    return spec.added;
  }
  bool addsSpace() const override { return spec.addsSpace; }
  std::optional<TokenId> bosId() const override { return spec.bos; }
  std::optional<TokenId> eosId() const override { return spec.eos; }
  bool addsBos() const override { return spec.addBos; }
  std::unique_ptr<StreamEncoder>
  encoder(const EncodeOptions &options) const override;
  size_t lastCut(std::string_view text) const override;
  Expected<std::string> toJson() const override;

  /// Splits text as encoder() does, but hands out the words and no tokens.
  std::unique_ptr<StreamEncoder>
  wordSplitter(std::function<void(std::string_view)> onWord) const;

  const BpeSpec &definition() const { return spec; }
  /// What the files beside tokenizer.json say.
  void setEnds(std::optional<TokenId> bos, std::optional<TokenId> eos);

  /// Appends the tokens of one word.
  void encodeWord(std::string_view word, PairMerger &merger,
                  std::vector<TokenId> &scratch,
                  std::vector<TokenId> &out) const;
  /// True if no merge ever joins two such neighbours (characters only).
  bool wordEndsBetween(uint32_t left, uint32_t right) const;

  const AddedTokenMatcher &rawMatcher() const { return raw; }
  const AddedTokenMatcher &normalizedMatcher() const { return normalized; }

private:
  BpeTokenizer() = default;
  bool inRange(TokenId id) const {
    return id >= 0 && size_t(id) < spec.tokens.size();
  }
  void makeBytes();
  void makeFirstSymbols();
  void makePairs();
  void findCuts();

  /// Where words are known to end: nowhere, behind a line end that follows
  /// something printed and precedes a letter, or behind every line end that
  /// precedes a letter.
  enum class Cuts { None, SingleLineEnds, LineEnds } cuts = Cuts::None;

  BpeSpec spec;
  std::unordered_map<std::string_view, TokenId> ids;
  MergeTable table;
  AddedTokenMatcher raw, normalized;
  std::vector<bool> special;
  std::string allBytes; // of all tokens
  std::vector<uint32_t> bytesBegin;
  std::array<TokenId, 256> byteSymbols{};
  std::unordered_map<uint32_t, TokenId> charSymbols;
  // Neighbouring characters inside some merged token; open addressing.
  std::vector<uint64_t> pairs;
};

/// Errors are Q4008: tokens that JSON cannot hold.
Expected<std::string> writeTokenizerJson(const BpeSpec &spec);

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_BPETOKENIZER_H
