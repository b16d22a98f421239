//===- Tokenizer.h - Text to tokens and back --------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A tokenizer is immutable and may be shared by threads; encoders and streaming
// decoders belong to one thread each.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_TOKENIZER_H
#define QWEN_RUNTIME_TOKENIZER_TOKENIZER_H

#include "runtime/core/Error.h"
#include "runtime/tokenizer/AddedTokens.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

struct EncodeOptions {
  /// Begin with the beginning-of-text token, if the tokenizer has one.
  bool addBos = false;
  /// Special tokens written out in the text become those tokens.
  bool parseSpecial = true;
};

struct DecodeOptions {
  /// Leave special tokens out.
  bool skipSpecial = false;
  /// The ids go on behind other text: a leading space belongs to them even
  /// where encoding puts one before every text.
  bool continuation = false;
};

/// Encodes one text that comes in parts of any size; the tokens are those of
/// the whole text. Bytes that are not UTF-8 are kept as bytes.
class StreamEncoder {
public:
  virtual ~StreamEncoder() = default;
  /// Appends the tokens that no further text can change. Errors: Q4007.
  virtual Status feed(std::string_view text, std::vector<TokenId> &out) = 0;
  /// Ends the text and appends the rest; then a new text may begin.
  virtual Status finish(std::vector<TokenId> &out) = 0;
};

class Tokenizer {
public:
  virtual ~Tokenizer() = default;

  /// The number of ids: one more than the largest that has a token.
  virtual size_t vocabSize() const = 0;
  /// False for holes, unused ids, and all ids outside [0, vocabSize).
  virtual bool hasToken(TokenId id) const = 0;
  /// As the token is written in tokenizer.json; empty without one.
  virtual std::string_view tokenFor(TokenId id) const = 0;
  /// The reverse of tokenFor.
  virtual std::optional<TokenId> idOf(std::string_view token) const = 0;
  /// The bytes that the token stands for in text; of a special token, its name.
  virtual std::string_view bytesOf(TokenId id) const = 0;
  virtual bool isSpecial(TokenId id) const = 0;
  virtual const std::vector<AddedToken> &addedTokens() const = 0;
  /// True if encoding puts a space before the text, which decoding removes.
  virtual bool addsSpace() const = 0;

  virtual std::optional<TokenId> bosId() const = 0;
  /// The token that ends a document or an answer, as far as the file tells.
  virtual std::optional<TokenId> eosId() const = 0;
  /// True if a model of this tokenizer expects prompts to begin with bosId().
  virtual bool addsBos() const = 0;

  virtual std::unique_ptr<StreamEncoder>
  encoder(const EncodeOptions &options = {}) const = 0;

  /// The last place at which a text may be cut so that the tokens of the two
  /// parts, each encoded alone without addBos, are those of the whole, whatever
  /// stands before and follows; 0 if none is known.
  virtual size_t lastCut(std::string_view text) const { return 0; }

  /// tokenizer.json: the file it was read from, byte for byte, or one made to
  /// give the same ids when `tokenizers` reads it. Errors: Q4008.
  virtual Expected<std::string> toJson() const = 0;

  /// Errors: Q4007 (the pre-tokenizer's pattern needs too much work).
  Expected<std::vector<TokenId>>
  encode(std::string_view text, const EncodeOptions &options = {}) const;

  /// The bytes of the tokens one after another; ids without a token are
  /// skipped.
  std::string decodeBytes(const std::vector<TokenId> &ids,
                          const DecodeOptions &options = {}) const;
  /// The same as UTF-8; what is not becomes U+FFFD.
  std::string decode(const std::vector<TokenId> &ids,
                     const DecodeOptions &options = {}) const;

  /// Bytes of text that a token accounts for (bits per byte): 0 for special
  /// tokens and ids without a token.
  size_t byteLength(TokenId id) const {
    return isSpecial(id) ? 0 : bytesOf(id).size();
  }
};

/// Decodes token by token; holds back the bytes of a character until it is
/// whole.
class StreamDecoder {
public:
  explicit StreamDecoder(const Tokenizer &tokenizer,
                         const DecodeOptions &options = {});
  /// The text that is certain now; may be empty. Always valid UTF-8.
  std::string push(TokenId id);
  /// What is left, an incomplete character as U+FFFD.
  std::string finish();

private:
  const Tokenizer &tokenizer;
  DecodeOptions options;
  bool atBegin = true;
  std::string pending;
};

/// Reads a tokenizer.json, a directory that holds one (then
/// tokenizer_config.json beside it names bos and eos), or a GGUF file. Errors:
/// Q3001, Q3005, Q3010, Q4001..Q4006.
Expected<std::unique_ptr<Tokenizer>> loadTokenizer(const std::string &path);

/// The contents of a tokenizer.json; `where` names it in messages.
Expected<std::unique_ptr<Tokenizer>>
tokenizerFromJson(std::string text, const std::string &where);

class GgufFile;
/// The vocabulary of a GGUF file. Errors: Q4001 (it has none), Q4002...
Expected<std::unique_ptr<Tokenizer>> tokenizerFromGguf(const GgufFile &file);

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_TOKENIZER_H
