//===- Tokenizer.cpp - Text to tokens and back ----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Tokenizer.h"
#include "runtime/tokenizer/Utf8.h"

namespace qrt {

Expected<std::vector<TokenId>>
Tokenizer::encode(std::string_view text, const EncodeOptions &options) const {
  std::vector<TokenId> ids;
  std::unique_ptr<StreamEncoder> stream = encoder(options);
  QRT_RETURN_IF_ERROR(stream->feed(text, ids));
  QRT_RETURN_IF_ERROR(stream->finish(ids));
  return ids;
}

namespace {

/// Appends one token. `atBegin`: no text came before it.
void appendToken(const Tokenizer &tokenizer, TokenId id,
                 const DecodeOptions &options, bool &atBegin,
                 std::string &out) {
  if (options.skipSpecial && tokenizer.isSpecial(id))
    return;
  std::string_view bytes = tokenizer.bytesOf(id);
  if (bytes.empty())
    return;
  if (atBegin && tokenizer.addsSpace() && !options.continuation &&
      bytes[0] == ' ')
    bytes.remove_prefix(1);
  atBegin = false;
  out += bytes;
}

} // namespace

std::string Tokenizer::decodeBytes(const std::vector<TokenId> &ids,
                                   const DecodeOptions &options) const {
  std::string out;
  bool atBegin = true;
  for (TokenId id : ids)
    appendToken(*this, id, options, atBegin, out);
  return out;
}

std::string Tokenizer::decode(const std::vector<TokenId> &ids,
                              const DecodeOptions &options) const {
  return toValidUtf8(decodeBytes(ids, options));
}

StreamDecoder::StreamDecoder(const Tokenizer &tokenizer,
                             const DecodeOptions &options)
    : tokenizer(tokenizer), options(options) {}

std::string StreamDecoder::push(TokenId id) {
  appendToken(tokenizer, id, options, atBegin, pending);
  size_t tail = incompleteUtf8Tail(pending);
  std::string out =
      toValidUtf8(std::string_view(pending).substr(0, pending.size() - tail));
  pending.erase(0, pending.size() - tail);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out = toValidUtf8(pending);
  pending.clear();
  atBegin = true;
  return out;
}

} // namespace qrt
