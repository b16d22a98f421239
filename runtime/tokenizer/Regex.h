//===- Regex.h - The regular expressions of pre-tokenizers ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// PCRE2 in the dialect that tokenizer.json files are written in: Unicode
// properties, ^ and $ at line ends, and \s as Unicode's White_Space, which
// PCRE2 has no name for (its own \s also takes U+180E), so that patterns are
// rewritten.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_REGEX_H
#define QWEN_RUNTIME_TOKENIZER_REGEX_H

#include "runtime/core/Error.h"

#include <memory>
#include <string>
#include <string_view>

namespace qrt {

/// A compiled pattern; may be shared by threads.
class Regex {
public:
  /// Errors: Q4006 (syntax, or a construct that would not mean the same).
  static Expected<std::shared_ptr<const Regex>>
  compile(std::string_view pattern, const std::string &where);
  ~Regex();

  /// True if a match does not depend on the text before its start, so that text
  /// may be matched piece by piece.
  bool streamable() const { return canStream; }
  const std::string &pattern() const { return source; }

private:
  friend class RegexMatcher;
  Regex() = default;

  std::string source;
  void *code = nullptr;
  bool canStream = false;
};

/// The working memory for one thread that matches one pattern.
class RegexMatcher {
public:
  explicit RegexMatcher(std::shared_ptr<const Regex> regex);
  ~RegexMatcher();
  RegexMatcher(RegexMatcher &&other) noexcept;
  RegexMatcher &operator=(RegexMatcher &&) = delete;

  enum class Outcome {
    Match,   ///< begin, end
    None,    ///< no match up to the end of the text
    Partial, ///< more text could change the match that begins at `begin`
    Error    ///< the pattern needs too much work on this text
  };
  struct Result {
    Outcome outcome;
    size_t begin = 0, end = 0;
  };

  /// The first match at or after `from`; never an empty one. The text must be
  /// valid UTF-8. With `more`, text may follow: then a match is only told if no
  /// text that follows could change it.
  Result find(std::string_view text, size_t from, bool more);

private:
  std::shared_ptr<const Regex> regex;
  void *data = nullptr;
  void *context = nullptr;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_REGEX_H
