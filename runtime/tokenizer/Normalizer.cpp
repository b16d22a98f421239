//===- Normalizer.cpp - What happens to text before it is split -----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Normalizer.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>

#include <utf8proc.h>

namespace qrt {

namespace {

/// True for characters that are their own NFC form, have combining class 0 and
/// never compose with a character before them: a cut before one is safe. Only a
/// few large ranges; for all others the answer "no" costs time, not
/// correctness.
bool isNfcStarter(uint32_t c) {
  return c < 0x300 || (c >= 0x391 && c < 0x483) ||
         (c >= 0x5d0 && c < 0x5eb) ||   // Hebrew letters
         (c >= 0x621 && c < 0x64b) ||   // Arabic letters
         (c >= 0x2010 && c < 0x2027) || // punctuation
         (c >= 0x2500 && c < 0x2adc) || // drawing, symbols
         (c >= 0x3003 && c < 0x302a) || (c >= 0x3041 && c < 0x3099) ||
         (c >= 0x309b && c < 0xa000) || // kana, CJK
         (c >= 0xac00 && c < 0xd7a4) || // Hangul syllables
         (c >= 0xff00 && c < 0xffef) || (c >= 0x1f300 && c < 0x1faff);
}

/// The same, and the character cannot change when it stands before another
/// starter.
bool isInert(uint32_t c) {
  // Greek letters with singletons lie in 0x37e and 0x387, outside.
  return isNfcStarter(c);
}

void appendNfcSlow(std::string &out, std::string_view text) {
  const auto options = utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  std::vector<utf8proc_int32_t> chars;
  chars.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    Utf8Char c = decodeUtf8(text, i);
    i += c.length;
    utf8proc_int32_t parts[32];
    int boundClass = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(
        utf8proc_int32_t(c.codePoint), parts, 32, options, &boundClass);
    if (n < 0 || n > 32) // no canonical decomposition is that long
      chars.push_back(utf8proc_int32_t(c.codePoint));
    else
      chars.insert(chars.end(), parts, parts + n);
  }
  // The canonical order. utf8proc's own sort is quadratic, and a text of
  // nothing but accents is as long as its author likes.
  auto classOf = [](utf8proc_int32_t c) {
    return utf8proc_get_property(c)->combining_class;
  };
  std::vector<std::pair<size_t, utf8proc_int32_t>> run; // (class, place), char
  for (size_t i = 0; i < chars.size();) {
    size_t end = i;
    run.clear();
    for (; end < chars.size() && classOf(chars[end]) != 0; ++end)
      run.emplace_back(size_t(classOf(chars[end])) << 32 | (end - i),
                       chars[end]);
    std::sort(run.begin(), run.end());
    for (size_t k = 0; k < run.size(); ++k)
      chars[i + k] = run[k].second;
    i = end + 1;
  }
  utf8proc_ssize_t length = utf8proc_normalize_utf32(
      chars.data(), utf8proc_ssize_t(chars.size()), options);
  for (utf8proc_ssize_t i = 0; i < length; ++i)
    appendUtf8(out, uint32_t(chars[size_t(i)]));
}

} // namespace

void appendNfc(std::string &out, std::string_view text) {
  // Text up to `done` is out. Everything is copied as long as characters are
  // inert; a stretch of others is normalised together with the inert character
  // before it, which the stretch may begin to change.
  size_t done = 0, lastInert = 0, i = 0;
  while (i < text.size()) {
    Utf8Char c = static_cast<unsigned char>(text[i]) < 0x80
                     ? Utf8Char{uint32_t(text[i]), 1, true, false}
                     : decodeUtf8(text, i);
    if (isInert(c.codePoint)) {
      lastInert = i;
      i += c.length;
      continue;
    }
    size_t end = i;
    while (end < text.size()) {
      Utf8Char d = decodeUtf8(text, end);
      if (isNfcStarter(d.codePoint))
        break;
      end += d.length;
    }
    size_t begin = std::max(done, lastInert);
    out += text.substr(done, begin - done);
    appendNfcSlow(out, text.substr(begin, end - begin));
    done = i = lastInert = end;
  }
  out += text.substr(done);
}

size_t lastNfcBoundary(std::string_view text) {
  for (size_t i = text.size(); i-- > 0;) {
    unsigned char c = text[i];
    if (c >= 0x80 && c < 0xc0)
      continue; // inside a character
    if (isNfcStarter(decodeUtf8(text, i).codePoint))
      return i;
  }
  return 0;
}

namespace {

void appendReplaced(std::string &out, std::string_view text,
                    std::string_view from, std::string_view to) {
  for (;;) {
    size_t at = text.find(from);
    out += text.substr(0, at);
    if (at == std::string_view::npos)
      return;
    out += to;
    text.remove_prefix(at + from.size());
  }
}

} // namespace

void Normalizer::append(std::string &out, std::string_view text,
                        Position position) const {
  if (steps.empty()) {
    out += text;
    return;
  }
  std::string current(text), next;
  for (const Step &step : steps) {
    next.clear();
    switch (step.kind) {
    case Step::Nfc:
      appendNfc(next, current);
      break;
    case Step::Prepend:
    case Step::PrependMissing:
    case Step::PrependFirst: {
      bool here = step.kind == Step::PrependFirst
                      ? position == Position::TextBegin
                      : position != Position::Inside;
      bool has = step.kind != Step::Prepend &&
                 current.compare(0, step.to.size(), step.to) == 0;
      if (here && !has && !current.empty())
        next = step.to;
      next += current;
      break;
    }
    case Step::Replace:
      appendReplaced(next, current, step.from, step.to);
      break;
    }
    std::swap(current, next);
  }
  out += current;
}

size_t Normalizer::safeCut(std::string_view text) const {
  for (const Step &step : steps)
    if (step.kind == Step::Nfc)
      return lastNfcBoundary(text);
  return text.size();
}

} // namespace qrt
