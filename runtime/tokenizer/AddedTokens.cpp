//===- AddedTokens.cpp - Tokens found literally in text -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/AddedTokens.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>

#include <utf8proc.h>

namespace qrt {

namespace {

/// Letters, marks, decimal digits and connectors: what \w means.
bool isWordChar(uint32_t c) {
  switch (utf8proc_category(utf8proc_int32_t(c))) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_PC:
    return true;
  default:
    return false;
  }
}

/// Where the character before `at` begins; `at` itself at the very beginning.
size_t charBefore(std::string_view text, size_t at) {
  size_t i = at;
  while (i > 0 && at - i < 4) {
    --i;
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80)
      return i;
  }
  return at ? at - 1 : 0;
}

size_t skipSpaceBack(std::string_view text, size_t at, size_t limit) {
  while (at > limit) {
    size_t before = charBefore(text, at);
    Utf8Char c = decodeUtf8(text, before);
    if (before < limit || !c.valid || !isWhiteSpace(c.codePoint))
      break;
    at = before;
  }
  return at;
}

} // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> list)
    : tokens(std::move(list)) {
  nodes.emplace_back();
  for (size_t t = 0; t < tokens.size(); ++t) {
    const AddedToken &token = tokens[t];
    int32_t node = 0;
    for (unsigned char byte : token.content) {
      int32_t next = child(node, byte);
      if (next < 0) {
        next = int32_t(nodes.size());
        nodes.emplace_back();
        auto &to = nodes[size_t(node)].to;
        auto at = std::lower_bound(to.begin(), to.end(),
                                   std::make_pair(byte, int32_t(0)));
        to.insert(at, {byte, next});
      }
      node = next;
    }
    nodes[size_t(node)].token = int32_t(t);
    first[static_cast<unsigned char>(token.content[0])] = true;
    longest = std::max(longest, token.content.size());
    looksLeft |= token.lstrip || token.singleWord;
    looksRight |= token.rstrip || token.singleWord;
  }
}

int32_t AddedTokenMatcher::child(int32_t node, unsigned char byte) const {
  const auto &to = nodes[size_t(node)].to;
  auto at =
      std::lower_bound(to.begin(), to.end(), std::make_pair(byte, int32_t(0)));
  return at != to.end() && at->first == byte ? at->second : -1;
}

AddedTokenMatcher::Result AddedTokenMatcher::find(std::string_view text,
                                                  size_t from, size_t taken,
                                                  bool more,
                                                  bool parseSpecial) const {
  Result undecided{Result::Undecided, text.size(), text.size(), nullptr};
  size_t i = tokens.empty() ? text.size() : from;
  for (; i < text.size(); ++i) {
    if (!first[static_cast<unsigned char>(text[i])])
      continue;
    int32_t node = 0, found = -1;
    size_t at = i, end = i;
    while (at < text.size() &&
           (node = child(node, static_cast<unsigned char>(text[at]))) >= 0) {
      ++at;
      if (nodes[size_t(node)].token >= 0) {
        found = nodes[size_t(node)].token;
        end = at;
      }
    }
    if (more && at == text.size() && node >= 0) {
      undecided.begin = i; // a token may be growing here
      break;
    }
    if (found < 0)
      continue;
    const AddedToken &token = tokens[size_t(found)];
    if (token.special && !parseSpecial) {
      i = end - 1;
      continue;
    }
    size_t stop = end;
    bool needMore = false;
    if (token.singleWord) {
      Utf8Char after = end < text.size() ? decodeUtf8(text, end) : Utf8Char{};
      needMore = more && (end == text.size() || after.truncated);
      size_t before = charBefore(text, i);
      bool wordBefore = i > 0 && decodeUtf8(text, before).valid &&
                        isWordChar(decodeUtf8(text, before).codePoint);
      bool wordAfter = after.valid && isWordChar(after.codePoint);
      if (!needMore && (wordBefore || wordAfter)) {
        i = end - 1;
        continue;
      }
    }
    if (token.rstrip && !needMore) {
      while (stop < text.size()) {
        Utf8Char c = decodeUtf8(text, stop);
        if (!c.valid || !isWhiteSpace(c.codePoint))
          break;
        stop += c.length;
      }
      // White space may go on where the text so far ends.
      needMore =
          more && (stop == text.size() || decodeUtf8(text, stop).truncated);
    }
    if (needMore) {
      undecided.begin = i;
      break;
    }
    size_t begin = token.lstrip ? skipSpaceBack(text, i, taken) : i;
    return {Result::Match, begin, stop, &token};
  }
  if (more && looksLeft && undecided.begin > taken) {
    // Keep what a token that begins here may look back at: one character and
    // the white space before it.
    size_t keep = charBefore(text, undecided.begin);
    undecided.begin = std::max(taken, skipSpaceBack(text, keep, taken));
  }
  return undecided;
}

} // namespace qrt
