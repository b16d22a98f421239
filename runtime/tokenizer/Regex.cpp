//===- Regex.cpp - The regular expressions of pre-tokenizers --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Regex.h"

#include <algorithm>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace qrt {

namespace {

constexpr int regexCode = 4006;
/// Far above what a pattern needs on real text, far below a second of work for
/// one match; plus some for each byte.
constexpr uint32_t matchLimit = 2000000;
constexpr uint32_t depthLimit = 20000;
constexpr size_t maxPatternBytes = 16384;

// White_Space and its complement, as contents of a class.
constexpr std::string_view spaceRanges =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}"
    "\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view notSpaceRanges =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-"
    "\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}"
    "\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";
constexpr std::string_view wordRanges = "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";

struct Rewritten {
  std::string pattern;
  bool looksBack = false;
};

/// Replaces the escapes that mean something else in PCRE2 and finds what makes
/// a match depend on earlier text.
Expected<Rewritten> rewrite(std::string_view in, const std::string &where) {
  Rewritten out;
  bool inClass = false;
  for (size_t i = 0; i < in.size(); ++i) {
    char c = in[i];
    if (c == '\\' && i + 1 < in.size()) {
      char e = in[++i];
      std::string_view ranges;
      bool negate = false;
      switch (e) {
      case 's':
        ranges = spaceRanges;
        break;
      case 'S':
        if (inClass)
          ranges = notSpaceRanges;
        else
          ranges = spaceRanges, negate = true;
        break;
      case 'w':
        ranges = wordRanges;
        break;
      case 'W':
        if (inClass)
          return makeError(regexCode, where,
                           "\\W inside a class is not supported in the pattern "
                           "'{}'",
                           in);
        ranges = wordRanges, negate = true;
        break;
      case 'h':
      case 'H':
      case 'R':
      case 'X':
      case 'K':
      case 'Q':
      case 'E':
      case 'C':
        return makeError(regexCode, where,
                         "\\{} is not supported in the pattern '{}'", e, in);
      case 'A':
      case 'G':
      case 'b':
      case 'B':
        out.looksBack |= !inClass;
        break;
      default:
        break;
      }
      if (ranges.empty()) {
        out.pattern += '\\';
        out.pattern += e;
      } else if (inClass) {
        out.pattern += ranges;
      } else {
        out.pattern += negate ? "[^" : "[";
        out.pattern += ranges;
        out.pattern += ']';
      }
      continue;
    }
    if (inClass) {
      if (c == ']')
        inClass = false;
      else if (c == '[')
        return makeError(regexCode, where,
                         "a class inside a class is not supported in the "
                         "pattern '{}'",
                         in);
      else if (c == '&' && i + 1 < in.size() && in[i + 1] == '&')
        return makeError(regexCode, where,
                         "an intersection of classes is not supported in the "
                         "pattern '{}'",
                         in);
    } else if (c == '[') {
      inClass = true;
      out.pattern += c;
      if (i + 1 < in.size() && in[i + 1] == '^')
        out.pattern += in[++i];
      if (i + 1 < in.size() && in[i + 1] == ']')
        out.pattern += "\\", out.pattern += in[++i];
      continue;
    } else if (c == '^') {
      out.looksBack = true;
    } else if (c == '(' && i + 1 < in.size() && in[i + 1] == '*') {
      // PCRE2's verbs are no part of the dialect: a literal star follows.
      return makeError(regexCode, where,
                       "'(*' is not supported in the pattern '{}'", in);
    }
    out.pattern += c;
  }
  return out;
}

} // namespace

Expected<std::shared_ptr<const Regex>>
Regex::compile(std::string_view pattern, const std::string &where) {
  if (pattern.size() > maxPatternBytes)
    return makeError(regexCode, where,
                     "a pattern of {} bytes is longer than the limit of {}",
                     pattern.size(), maxPatternBytes);
  QRT_ASSIGN_OR_RETURN(Rewritten text, rewrite(pattern, where));

  auto result = std::shared_ptr<Regex>(new Regex);
  result->source = pattern;
  pcre2_compile_context *context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context, 100);
  int code = 0;
  size_t offset = 0;
  pcre2_code *compiled = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(text.pattern.data()), text.pattern.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code,
      &offset, context);
  pcre2_compile_context_free(context);
  if (!compiled) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(code, message, sizeof message);
    return makeError(regexCode, where, "the pattern '{}' is not valid: {}",
                     pattern, reinterpret_cast<const char *>(message));
  }
  result->code = compiled;
  // Without JIT the interpreter matches the same, only slower.
  (void)pcre2_jit_compile(compiled,
                          PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  uint32_t behind = 0;
  pcre2_pattern_info(compiled, PCRE2_INFO_MAXLOOKBEHIND, &behind);
  result->canStream = behind == 0 && !text.looksBack;
  return std::shared_ptr<const Regex>(std::move(result));
}

Regex::~Regex() {
  if (code)
    pcre2_code_free(static_cast<pcre2_code *>(code));
}

RegexMatcher::RegexMatcher(std::shared_ptr<const Regex> r)
    : regex(std::move(r)) {
  data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context *match = pcre2_match_context_create(nullptr);
  pcre2_set_depth_limit(match, depthLimit);
  context = match;
}

RegexMatcher::RegexMatcher(RegexMatcher &&other) noexcept
    : regex(std::move(other.regex)), data(other.data), context(other.context) {
  other.data = other.context = nullptr;
}

RegexMatcher::~RegexMatcher() {
  if (data)
    pcre2_match_data_free(static_cast<pcre2_match_data *>(data));
  if (context)
    pcre2_match_context_free(static_cast<pcre2_match_context *>(context));
}

RegexMatcher::Result RegexMatcher::find(std::string_view text, size_t from,
                                        bool more) {
  auto *matchData = static_cast<pcre2_match_data *>(data);
  // A run of white space may be as long as the text, and is gone through a few
  // times; what grows faster than that is refused.
  uint64_t limit = matchLimit + uint64_t(16) * (text.size() - from);
  pcre2_set_match_limit(static_cast<pcre2_match_context *>(context),
                        uint32_t(std::min<uint64_t>(limit, UINT32_MAX)));
  uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY |
                     (more ? uint32_t(PCRE2_PARTIAL_HARD) : 0u);
  int rc = pcre2_match(static_cast<pcre2_code *>(regex->code),
                       reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                       from, options, matchData,
                       static_cast<pcre2_match_context *>(context));
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) // the interpreter works on the heap
    rc = pcre2_match(static_cast<pcre2_code *>(regex->code),
                     reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                     from, options | PCRE2_NO_JIT, matchData,
                     static_cast<pcre2_match_context *>(context));
  const size_t *range = pcre2_get_ovector_pointer(matchData);
  if (rc >= 0)
    return {Outcome::Match, range[0], range[1]};
  if (rc == PCRE2_ERROR_NOMATCH)
    return {Outcome::None};
  if (rc == PCRE2_ERROR_PARTIAL)
    return {Outcome::Partial, range[0], range[1]};
  return {Outcome::Error};
}

} // namespace qrt
