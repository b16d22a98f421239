//===- BpeEncoder.cpp - Encoding text of any length -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Text passes through stages; each keeps the end of what it got until it is
// sure that text to come cannot change it. So the tokens of a file read in
// blocks are those of the file read at once:
//   raw      added tokens are cut out          keeps what may begin one
//   stretch  normalisation                     keeps what may still compose
//   normal   added tokens of normalised text   keeps what may begin one
//   piece    splitting into words, merging     keeps the last word
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/BpeTokenizer.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>

namespace qrt {

namespace {

using Position = Normalizer::Position;

/// Text is taken in slices of this size, which bounds the memory of all stages.
constexpr size_t sliceBytes = size_t(1) << 18;
/// A word that is longer is cut: the price of bounded memory on a file without
/// any place to cut.
constexpr size_t maxPending = size_t(16) << 20;

class BpeEncoder final : public StreamEncoder {
public:
  BpeEncoder(const BpeTokenizer &tokenizer, const EncodeOptions &options,
             std::function<void(std::string_view)> onWord = nullptr)
      : tokenizer(tokenizer), spec(tokenizer.definition()), options(options),
        onWord(std::move(onWord)) {
    for (const SplitStage &stage : spec.splits)
      matchers.emplace_back(stage.regex);
  }

  Status feed(std::string_view text, std::vector<TokenId> &to) override {
    begin(to);
    while (!text.empty()) {
      std::string_view slice = text.substr(0, sliceBytes);
      raw += slice;
      text.remove_prefix(slice.size());
      QRT_RETURN_IF_ERROR(drainRaw(true));
    }
    return {};
  }

  Status finish(std::vector<TokenId> &to) override {
    begin(to);
    Status status = drainRaw(false);
    raw.clear();
    rawTaken = 0;
    begun = false;
    stretchPosition = piecePosition = Position::TextBegin;
    return status;
  }

private:
  void begin(std::vector<TokenId> &to) {
    out = &to;
    if (begun)
      return;
    begun = true;
    if (options.addBos && spec.bos)
      out->push_back(*spec.bos);
  }

  /// Cuts added tokens out of `text`, of which [0, taken) was handled before,
  /// and hands the text between them to `next`(part, more).
  template <typename Next, typename Found>
  Status drain(const AddedTokenMatcher &matcher, std::string &text,
               size_t &taken, bool more, Next next, Found found) {
    for (;;) {
      AddedTokenMatcher::Result r =
          matcher.find(text, taken, taken, more, options.parseSpecial);
      bool matched = r.kind == AddedTokenMatcher::Result::Match;
      std::string_view part =
          std::string_view(text).substr(taken, r.begin - taken);
      QRT_RETURN_IF_ERROR(next(part, more && !matched));
      taken = matched ? r.end : r.begin;
      if (!matched)
        break;
      out->push_back(r.token->id);
      found();
    }
    // A few bytes stay: a token of whole words looks back at them.
    size_t drop = taken - std::min<size_t>(taken, 4);
    text.erase(0, drop);
    taken -= drop;
    return {};
  }

  Status drainRaw(bool more) {
    return drain(
        tokenizer.rawMatcher(), raw, rawTaken, more,
        [&](std::string_view part, bool goesOn) {
          return addStretch(part, goesOn);
        },
        [&] { stretchPosition = piecePosition = Position::StretchBegin; });
  }

  Status addStretch(std::string_view text, bool more) {
    stretch += text;
    size_t cut = stretch.size();
    if (more) {
      std::string_view whole = stretch;
      whole.remove_suffix(incompleteUtf8Tail(whole));
      cut = spec.normalizer.safeCut(whole);
      if (cut == 0 && whole.size() > maxPending)
        cut = whole.size();
    }
    std::string_view rest = std::string_view(stretch).substr(0, cut);
    while (!rest.empty()) {
      size_t valid = validUtf8Prefix(rest);
      if (valid) {
        spec.normalizer.append(normal, rest.substr(0, valid), stretchPosition);
        stretchPosition = Position::Inside;
        rest.remove_prefix(valid);
        if (rest.empty())
          break;
      }
      // Bytes that are no text make up a word of their own.
      size_t bad = 0;
      while (bad < rest.size() && !decodeUtf8(rest, bad).valid)
        bad += decodeUtf8(rest, bad).length;
      QRT_RETURN_IF_ERROR(drainNormal(false));
      QRT_RETURN_IF_ERROR(addWord(rest.substr(0, bad)));
      stretchPosition = piecePosition = Position::Inside;
      rest.remove_prefix(bad);
    }
    stretch.erase(0, cut);
    return drainNormal(more);
  }

  Status drainNormal(bool more) {
    Status status = drain(
        tokenizer.normalizedMatcher(), normal, normalTaken, more,
        [&](std::string_view part, bool goesOn) {
          return addPiece(part, goesOn);
        },
        [&] { piecePosition = Position::StretchBegin; });
    if (!more) {
      normal.clear();
      normalTaken = 0;
    }
    return status;
  }

  Status addPiece(std::string_view text, bool more) {
    if (!text.empty()) {
      spec.prefixer.append(piece, text, piecePosition);
      piecePosition = Position::Inside;
    }
    if (more && piece.size() < pieceWanted)
      return {};
    Status status = spec.byteLevel ? drainPattern(more && !pieceTooLong())
                                   : drainChars(more && !pieceTooLong());
    // Looking again at a long rest after each slice would be quadratic.
    pieceWanted = piece.size() > sliceBytes
                      ? std::min(piece.size() * 2, maxPending + 1)
                      : 0;
    return status;
  }

  bool pieceTooLong() const { return piece.size() > maxPending; }

  /// Words of a byte-level vocabulary: matches of the first pattern and the
  /// text between, each split again by the patterns after it.
  Status drainPattern(bool more) {
    if (more && (spec.splits.empty() || !spec.splits[0].regex->streamable()))
      return {};
    size_t done = 0;
    QRT_RETURN_IF_ERROR(split(0, piece, pieceScanned, more, done));
    piece.erase(0, done);
    pieceScanned -= std::min(pieceScanned, done);
    if (!more)
      pieceScanned = 0;
    return {};
  }

  /// Splits text by stage `stage`. In: `scanned` bytes hold no match; out: the
  /// same for later; `done` bytes are finished (all without `more`).
  Status split(size_t stage, std::string_view text, size_t &scanned, bool more,
               size_t &done) {
    done = 0;
    if (stage == spec.splits.size()) {
      done = text.size();
      return addWord(text);
    }
    const SplitStage &how = spec.splits[stage];
    size_t from = scanned;
    while (from < text.size()) {
      RegexMatcher::Result r = matchers[stage].find(text, from, more);
      if (r.outcome == RegexMatcher::Outcome::Error)
        return makeError(4007, "",
                         "the pre-tokenizer's pattern '{}' needs too much work "
                         "on this text",
                         how.regex->pattern());
      if (r.outcome != RegexMatcher::Outcome::Match) {
        scanned =
            r.outcome == RegexMatcher::Outcome::Partial ? r.begin : text.size();
        break;
      }
      if (how.keepGaps)
        QRT_RETURN_IF_ERROR(
            splitRest(stage, text.substr(done, r.begin - done)));
      if (how.keepMatches)
        QRT_RETURN_IF_ERROR(
            splitRest(stage, text.substr(r.begin, r.end - r.begin)));
      done = scanned = from = r.end;
    }
    if (more)
      return {};
    if (how.keepGaps)
      QRT_RETURN_IF_ERROR(splitRest(stage, text.substr(done)));
    done = text.size();
    return {};
  }

  /// A word of `stage` goes through the stages behind it.
  Status splitRest(size_t stage, std::string_view text) {
    size_t scanned = 0, done = 0;
    return split(stage + 1, text, scanned, false, done);
  }

  /// Words over characters end wherever no merge can reach across.
  Status drainChars(bool more) {
    size_t wordBegin = 0, at = pieceScanned;
    uint32_t left = lastChar;
    while (at < piece.size()) {
      Utf8Char c = decodeUtf8(piece, at);
      if (at > wordBegin && tokenizer.wordEndsBetween(left, c.codePoint)) {
        QRT_RETURN_IF_ERROR(
            addWord(std::string_view(piece).substr(wordBegin, at - wordBegin)));
        wordBegin = at;
      }
      left = c.codePoint;
      at += c.length;
    }
    if (!more) {
      QRT_RETURN_IF_ERROR(addWord(std::string_view(piece).substr(wordBegin)));
      piece.clear();
      pieceScanned = 0;
      return {};
    }
    piece.erase(0, wordBegin);
    pieceScanned = at - wordBegin;
    lastChar = left;
    return {};
  }

  Status addWord(std::string_view word) {
    if (word.empty())
      return {};
    if (onWord) {
      onWord(word);
      return {};
    }
    const TokenId *ids;
    size_t count;
    if (cache.find(word, ids, count)) {
      out->insert(out->end(), ids, ids + count);
      return {};
    }
    size_t before = out->size();
    tokenizer.encodeWord(word, merger, scratch, *out);
    cache.insert(word, out->data() + before, out->size() - before);
    return {};
  }

  const BpeTokenizer &tokenizer;
  const BpeSpec &spec;
  EncodeOptions options;
  std::function<void(std::string_view)> onWord;
  std::vector<RegexMatcher> matchers;
  PairMerger merger;
  WordCache cache;
  std::vector<TokenId> scratch;
  std::vector<TokenId> *out = nullptr;

  bool begun = false;
  std::string raw, stretch, normal, piece;
  size_t rawTaken = 0, normalTaken = 0;
  size_t pieceScanned = 0, pieceWanted = 0;
  uint32_t lastChar = 0;
  Position stretchPosition = Position::TextBegin;
  Position piecePosition = Position::TextBegin;
};

} // namespace

std::unique_ptr<StreamEncoder>
BpeTokenizer::encoder(const EncodeOptions &options) const {
  return std::make_unique<BpeEncoder>(*this, options);
}

std::unique_ptr<StreamEncoder>
BpeTokenizer::wordSplitter(std::function<void(std::string_view)> onWord) const {
  return std::make_unique<BpeEncoder>(*this, EncodeOptions(),
                                      std::move(onWord));
}

} // namespace qrt
