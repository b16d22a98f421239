//===- Normalizer.h - What happens to text before it is split ---*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_NORMALIZER_H
#define QWEN_RUNTIME_TOKENIZER_NORMALIZER_H

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

/// Appends the NFC form of valid UTF-8.
void appendNfc(std::string &out, std::string_view text);

/// The last place (or 0) at which the text can be cut so that the two parts'
/// NFC forms make up the whole's, whatever text follows.
size_t lastNfcBoundary(std::string_view text);

/// The steps of a tokenizer's normalizer.
class Normalizer {
public:
  struct Step {
    enum Kind {
      Nfc,
      Prepend,        ///< `to`, before text that is not empty
      PrependMissing, ///< the same, unless the text begins so already
      PrependFirst,   ///< as PrependMissing, only where the whole text begins
      Replace         ///< the one character `from` by `to`
    } kind;
    std::string from, to;
  };
  /// Where a piece of text lies: at the beginning of the whole text, of a
  /// stretch between added tokens, or behind a cut at safeCut().
  enum class Position { TextBegin, StretchBegin, Inside };
  std::vector<Step> steps;

  bool empty() const { return steps.empty(); }

  /// Appends the normal form of `text`.
  void append(std::string &out, std::string_view text, Position position) const;

  /// The last place at which a stretch that goes on may be cut.
  size_t safeCut(std::string_view text) const;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_NORMALIZER_H
