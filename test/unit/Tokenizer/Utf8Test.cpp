//===- Utf8Test.cpp - UTF-8, normalisation, patterns ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Utf8.h"
#include "runtime/tokenizer/Normalizer.h"
#include "runtime/tokenizer/Regex.h"

#include <chrono>
#include <random>

#include <gtest/gtest.h>

using namespace qrt;

namespace {

std::string utf8(uint32_t c) {
  std::string out;
  appendUtf8(out, c);
  return out;
}

std::string nfc(std::string_view text) {
  std::string out;
  appendNfc(out, text);
  return out;
}

TEST(Utf8, DecodesEveryCharacter) {
  for (uint32_t c = 0; c <= 0x10ffff; ++c) {
    std::string text = utf8(c);
    Utf8Char read = decodeUtf8(text, 0);
    bool surrogate = c >= 0xd800 && c < 0xe000;
    ASSERT_EQ(read.valid, !surrogate) << c;
    if (!surrogate) {
      ASSERT_EQ(read.codePoint, c);
      ASSERT_EQ(read.length, text.size());
    }
  }
}

TEST(Utf8, RejectsWhatIsNoUtf8) {
  for (const char *bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"})
    EXPECT_FALSE(decodeUtf8(bad, 0).valid) << bad;
}

// One U+FFFD for every longest beginning of a character, as Unicode recommends.
TEST(Utf8, ReplacesInvalidParts) {
  EXPECT_EQ(toValidUtf8("a\xe2\x82z"), "a\xef\xbf\xbdz");
  EXPECT_EQ(toValidUtf8("\xf0\x9f\x99"), "\xef\xbf\xbd");
  EXPECT_EQ(toValidUtf8("\xed\xa0\x80"),
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(toValidUtf8("\xc3\xa9"), "\xc3\xa9");
}

TEST(Utf8, FindsIncompleteTails) {
  EXPECT_EQ(incompleteUtf8Tail("ab"), 0u);
  EXPECT_EQ(incompleteUtf8Tail("a\xc3"), 1u);
  EXPECT_EQ(incompleteUtf8Tail("a\xe2\x82"), 2u);
  EXPECT_EQ(incompleteUtf8Tail("a\xf0\x9f\x99"), 3u);
  EXPECT_EQ(incompleteUtf8Tail("a\xf0\x9f\x99\x82"), 0u);
  EXPECT_EQ(incompleteUtf8Tail("\x82\x82\x82"), 0u);
  EXPECT_EQ(incompleteUtf8Tail(""), 0u);
}

TEST(Utf8, ByteAlphabetIsABijection) {
  std::string all;
  for (int b = 0; b < 256; ++b)
    all += char(b);
  EXPECT_EQ(textToBytes(bytesToText(all)), all);
  EXPECT_EQ(byteToChar(' '), 0x120u);
  EXPECT_EQ(byteToChar('\n'), 0x10au);
  EXPECT_EQ(byteToChar(0xad), 0x143u);
  EXPECT_FALSE(textToBytes("a b").has_value());
}

TEST(Normalizer, Composes) {
  EXPECT_EQ(nfc("Cafe\xcc\x81!"), "Caf\xc3\xa9!");
  EXPECT_EQ(nfc("\xe2\x84\xab"), "\xc3\x85");                 // Angstrom sign
  EXPECT_EQ(nfc("\xe2\x84\xaa"), "K");                        // Kelvin sign
  EXPECT_EQ(nfc("\xe1\x84\x80\xe1\x85\xa1"), "\xea\xb0\x80"); // Hangul
  // Marks are sorted by class before they compose.
  EXPECT_EQ(nfc("a\xcc\x81\xcc\xa3"), "\xe1\xba\xa1\xcc\x81");
}

// Cutting at a boundary and normalising the parts gives the whole's form.
TEST(Normalizer, PartsMakeUpTheWhole) {
  std::mt19937 random(1);
  const uint32_t pool[] = {'a',    'e',    ' ',    0x301,  0x323,
                           0x30a,  0xc5,   0x1100, 0x1161, 0x11a8,
                           0xac00, 0x3042, 0x3099, 0x4e2d, 0x915,
                           0x93c,  0x212b, 0x1e0b, 0x5d0};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (unsigned n = 1 + random() % 12; n > 0; --n)
      text += utf8(pool[random() % std::size(pool)]);
    for (size_t end = 1; end <= text.size(); ++end) {
      std::string_view head = std::string_view(text).substr(0, end);
      head.remove_suffix(incompleteUtf8Tail(head));
      size_t cut = lastNfcBoundary(head);
      ASSERT_EQ(nfc(std::string_view(text).substr(0, cut)) +
                    nfc(std::string_view(text).substr(cut)),
                nfc(text));
    }
    ASSERT_EQ(nfc(nfc(text)), nfc(text));
  }
}

TEST(Normalizer, ManyAccentsTakeLinearTime) {
  std::string text = "a";
  for (int i = 0; i < 400000; ++i)
    text += i % 2 ? "\xcc\xa3" : "\xcc\x81";
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(nfc(text).size(), text.size() + 3 - 3);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

std::string words(const Regex &, std::shared_ptr<const Regex> regex,
                  std::string_view text) {
  RegexMatcher matcher(std::move(regex));
  std::string out;
  for (size_t at = 0; at < text.size();) {
    auto r = matcher.find(text, at, false);
    if (r.outcome != RegexMatcher::Outcome::Match)
      break;
    out += "[";
    out += text.substr(r.begin, r.end - r.begin);
    out += "]";
    at = r.end;
  }
  return out;
}

std::string words(std::string_view pattern, std::string_view text) {
  auto regex = Regex::compile(pattern, "");
  if (!regex) {
    ADD_FAILURE() << regex.error().str();
    return "";
  }
  return words(**regex, *regex, text);
}

TEST(Regex, SpaceIsUnicodeWhiteSpace) {
  const uint32_t space[] = {0x9,    0xa,    0xd,    0x20,   0x85,   0xa0,
                            0x1680, 0x2000, 0x2028, 0x202f, 0x205f, 0x3000};
  const uint32_t others[] = {0x1c, 0x1f, 0x180e, 0x200b, 0xfeff, 'a'};
  for (uint32_t c : space) {
    EXPECT_EQ(words("\\s", utf8(c)), "[" + utf8(c) + "]") << c;
    EXPECT_EQ(words("[\\s]", utf8(c)), "[" + utf8(c) + "]") << c;
    EXPECT_EQ(words("\\S", utf8(c)), "") << c;
    EXPECT_EQ(words("[^\\s]", utf8(c)), "") << c;
    EXPECT_EQ(words("[\\S]", utf8(c)), "") << c;
  }
  for (uint32_t c : others) {
    EXPECT_EQ(words("\\s", utf8(c)), "") << c;
    EXPECT_EQ(words("\\S", utf8(c)), "[" + utf8(c) + "]") << c;
    EXPECT_EQ(words("[\\Sx]", utf8(c)), "[" + utf8(c) + "]") << c;
  }
}

TEST(Regex, ReportsWhatItCannotDo) {
  for (const char *pattern : {"(", "[a", "a{2,1}", "\\h", "[a&&b]", "[a[b]]",
                              "(*UCP)a", "[\\W]", "\\"}) {
    auto regex = Regex::compile(pattern, "f");
    ASSERT_FALSE(bool(regex)) << pattern;
    EXPECT_EQ(regex.error().code, 4006) << pattern;
  }
  EXPECT_FALSE(bool(Regex::compile(std::string(100000, 'a'), "f")));
  EXPECT_FALSE(bool(Regex::compile(std::string(5000, '('), "f")));
  EXPECT_FALSE(bool(Regex::compile("(?:(?:a{60000}){60000}){60000}", "f")));
}

TEST(Regex, TooMuchWorkIsAnError) {
  auto regex = Regex::compile("(a+)+$", "");
  ASSERT_TRUE(bool(regex));
  RegexMatcher matcher(*regex);
  std::string text(64, 'a');
  auto r = matcher.find(text + "b", 0, false);
  EXPECT_EQ(r.outcome, RegexMatcher::Outcome::Error);
}

TEST(Regex, KnowsWhichPatternsLookBack) {
  for (const char *pattern : {"\\bx", "(?<=a)b", "^a", "\\Ga"})
    EXPECT_FALSE((*Regex::compile(pattern, ""))->streamable()) << pattern;
  for (const char *pattern : {"a", "[^a]", "\\s+(?!\\S)|\\s+"})
    EXPECT_TRUE((*Regex::compile(pattern, ""))->streamable()) << pattern;
}

} // namespace
