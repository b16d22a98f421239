//===- AddedTokens.h - Tokens found literally in text -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_ADDEDTOKENS_H
#define QWEN_RUNTIME_TOKENIZER_ADDEDTOKENS_H

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

/// The number of a token; negative: none.
using TokenId = int32_t;

/// A token that is cut out of the text before anything else happens to it.
struct AddedToken {
  TokenId id = -1;
  std::string content;
  bool special = false;    ///< skipped by decoding on request
  bool normalized = false; ///< looked for after normalisation
  bool lstrip = false;     ///< takes the white space before it along
  bool rstrip = false;     ///< ... and after it
  bool singleWord = false; ///< not inside a word
};

/// Finds the leftmost longest added token of a text that may come in parts.
class AddedTokenMatcher {
public:
  /// `tokens` with unique contents that are not empty.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens = {});

  bool empty() const { return tokens.empty(); }

  struct Result {
    enum Kind {
      Match,    ///< of `token` at [begin, end); text before begin is text
      Undecided ///< no match begins before `begin`; more text is needed
    } kind;
    size_t begin = 0, end = 0;
    const AddedToken *token = nullptr;
  };

  /// Looks from `from` on; everything before `taken` was given out already.
  /// `more`: text may follow. Without `more`, "undecided" means: nothing up to
  /// the end (begin = size). `parseSpecial` = false passes over special tokens.
  Result find(std::string_view text, size_t from, size_t taken, bool more,
              bool parseSpecial) const;

private:
  struct Node {
    int32_t token = -1; // index, if one ends here
    std::vector<std::pair<unsigned char, int32_t>> to; // sorted by byte
  };
  int32_t child(int32_t node, unsigned char byte) const;

  std::vector<AddedToken> tokens;
  std::vector<Node> nodes;
  std::array<bool, 256> first{};
  size_t longest = 0;
  bool looksLeft = false, looksRight = false;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_ADDEDTOKENS_H
