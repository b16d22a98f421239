//===- Utf8.cpp - UTF-8 and the byte alphabet of GPT-2 --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Utf8.h"

#include <array>

namespace qrt {

Utf8Char decodeUtf8(std::string_view text, size_t at) {
  const auto *s = reinterpret_cast<const unsigned char *>(text.data()) + at;
  size_t left = text.size() - at;
  unsigned char lead = s[0];
  if (lead < 0x80)
    return {lead, 1, true, false};
  uint32_t need;
  uint32_t low = 0x80, high = 0xbf; // of the second byte
  if (lead >= 0xc2 && lead <= 0xdf) {
    need = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    need = 3;
    if (lead == 0xe0)
      low = 0xa0;
    else if (lead == 0xed)
      high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    need = 4;
    if (lead == 0xf0)
      low = 0x90;
    else if (lead == 0xf4)
      high = 0x8f;
  } else {
    return {lead, 1, false, false};
  }
  uint32_t codePoint = lead & (0x7fu >> need);
  for (uint32_t i = 1; i < need; ++i) {
    if (i >= left)
      return {0, i, false, true};
    if (s[i] < low || s[i] > high)
      return {0, i, false, false};
    codePoint = codePoint << 6 | (s[i] & 0x3f);
    low = 0x80;
    high = 0xbf;
  }
  return {codePoint, need, true, false};
}

void appendUtf8(std::string &out, uint32_t c) {
  if (c < 0x80) {
    out += char(c);
  } else if (c < 0x800) {
    out += char(0xc0 | c >> 6);
    out += char(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += char(0xe0 | c >> 12);
    out += char(0x80 | (c >> 6 & 0x3f));
    out += char(0x80 | (c & 0x3f));
  } else {
    out += char(0xf0 | c >> 18);
    out += char(0x80 | (c >> 12 & 0x3f));
    out += char(0x80 | (c >> 6 & 0x3f));
    out += char(0x80 | (c & 0x3f));
  }
}

size_t validUtf8Prefix(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    Utf8Char c = decodeUtf8(text, i);
    if (!c.valid)
      return i;
    i += c.length;
  }
  return i;
}

size_t incompleteUtf8Tail(std::string_view text) {
  size_t most = text.size() < 3 ? text.size() : 3;
  for (size_t n = 1; n <= most; ++n) {
    unsigned char c = text[text.size() - n];
    if (c < 0x80)
      return 0;
    if (c >= 0xc0) // a lead byte
      return decodeUtf8(text, text.size() - n).truncated ? n : 0;
  }
  return 0;
}

std::string toValidUtf8(std::string_view text) {
  size_t valid = validUtf8Prefix(text);
  std::string out(text.substr(0, valid));
  while (valid < text.size()) {
    out += "\xef\xbf\xbd";
    text.remove_prefix(valid + decodeUtf8(text, valid).length);
    valid = validUtf8Prefix(text);
    out += text.substr(0, valid);
  }
  return out;
}

bool isWhiteSpace(uint32_t c) {
  return c == ' ' || (c >= 0x09 && c <= 0x0d) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

namespace {

struct ByteAlphabet {
  std::array<uint16_t, 256> toChar;
  std::array<int16_t, 512> toByte;

  ByteAlphabet() {
    toByte.fill(-1);
    uint16_t next = 256;
    for (int b = 0; b < 256; ++b) {
      bool printable = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
      toChar[b] = printable ? uint16_t(b) : next++;
      toByte[toChar[b]] = int16_t(b);
    }
  }
};

const ByteAlphabet &alphabet() {
  static const ByteAlphabet table;
  return table;
}

} // namespace

uint32_t byteToChar(uint8_t byte) { return alphabet().toChar[byte]; }

std::string bytesToText(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char b : bytes)
    appendUtf8(out, byteToChar(uint8_t(b)));
  return out;
}

std::optional<std::string> textToBytes(std::string_view text) {
  std::string out;
  const ByteAlphabet &table = alphabet();
  for (size_t i = 0; i < text.size();) {
    Utf8Char c = decodeUtf8(text, i);
    if (!c.valid || c.codePoint >= table.toByte.size() ||
        table.toByte[c.codePoint] < 0)
      return std::nullopt;
    out += char(table.toByte[c.codePoint]);
    i += c.length;
  }
  return out;
}

} // namespace qrt
