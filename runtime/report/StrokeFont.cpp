//===- StrokeFont.cpp - Letters made of lines -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Labels of plots must not depend on the fonts of a machine. A letter is drawn
// on a grid of 5 x 9 points; a pair of digits is a point (x, then y from the
// descender's 0 over the baseline's 2 to the capital's 8), a space lifts the
// pen.
//
//===----------------------------------------------------------------------===//

#include "runtime/report/Drawing.h"

using namespace qrt;

namespace {

struct Glyph {
  char letter;
  const char *strokes;
};

constexpr Glyph glyphs[] = {
    {'0', "120307183847433212"},
    {'1', "172822 1232"},
    {'2', "07183847460242"},
    {'3', "071838474635153544433212 1203"},
    {'4', "32380444"},
    {'5', "480805354443321203"},
    {'6', "4738180703123243443505"},
    {'7', "084812"},
    {'8', "1506071838474635150403123243443515"},
    {'9', "0312324347381807061545"},
    {'A', "022842 1434"},
    {'B', "02083847463505 3544433202"},
    {'C', "4738180703123243"},
    {'D', "02082846442202"},
    {'E', "48080242 0535"},
    {'F', "480802 0535"},
    {'G', "47381807031232434525"},
    {'H', "0208 4248 0545"},
    {'I', "1232 2228 1838"},
    {'J', "4843321203"},
    {'K', "0208 480542"},
    {'L', "080242"},
    {'M', "0208254842"},
    {'N', "02084248"},
    {'O', "120307183847433212"},
    {'P', "02083847463505"},
    {'Q', "120307183847433212 2442"},
    {'R', "02083847463505 2542"},
    {'S', "473818070615354443321203"},
    {'T', "0848 2822"},
    {'U', "080312324348"},
    {'V', "082248"},
    {'W', "0812263248"},
    {'X', "0248 0842"},
    {'Y', "082548 2522"},
    {'Z', "08480242"},
    {'a', "16364542 441403123243"},
    {'b', "08023243453606"},
    {'c', "4536160503123243"},
    {'d', "48421203051646"},
    {'e', "04444536160503123243"},
    {'f', "48382722 1636"},
    {'g', "4641301001 461605031242"},
    {'h', "0802 06364542"},
    {'i', "2622 2828"},
    {'j', "36312010 3838"},
    {'k', "0802 460442"},
    {'l', "282332"},
    {'m', "0206162522 25364542"},
    {'n', "0206364542"},
    {'o', "120305163645433212"},
    {'p', "00063645433202"},
    {'q', "40461605031242"},
    {'r', "0206 051636"},
    {'s', "4616051434433202"},
    {'t', "282332 1636"},
    {'u', "060312324346 4342"},
    {'v', "062246"},
    {'w', "0612253246"},
    {'x', "0246 0642"},
    {'y', "062246 2210"},
    {'z', "06460242"},
    {'.', "2222"},
    {',', "2211"},
    {':', "2222 2525"},
    {'-', "1535"},
    {'_', "0242"},
    {'/', "0248"},
    {'%', "0248 0707 4343"},
    {'(', "38272332"},
    {')', "18272312"},
    {'[', "38181232"},
    {']', "18383212"},
    {'+', "0545 2723"},
    {'=', "0646 0444"},
    {'*', "1634 1436 2723"},
    {'\'', "2827"},
    {'"', "1817 3837"},
    {'#', "1228 2238 0444 0646"},
    {'<', "470543"},
    {'>', "074503"},
    {'!', "2824 2222"},
    {'?', "07183847462524 2222"},
    {'@', "3514334645360503123242"},
    {'|', "2820"},
    {' ', ""},
};

/// What stands for a letter that is not in the table.
constexpr const char *unknown = "0208484202";

const char *strokesOfLetter(char letter) {
  for (const Glyph &glyph : glyphs)
    if (glyph.letter == letter)
      return glyph.strokes;
  return unknown;
}

} // namespace

std::vector<std::vector<Point>> qrt::strokesOf(const Drawing::Text &text) {
  std::vector<std::vector<Point>> strokes;
  double unit = text.size / 10, advance = 6 * unit;
  // Bytes that continue a character of UTF-8 have no width.
  std::string letters;
  for (char c : text.text)
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80)
      letters += c;
  double width = double(letters.size()) * advance;
  double left = text.anchor == Drawing::Text::Start ? text.x
                : text.anchor == Drawing::Text::End ? text.x - width
                                                    : text.x - width / 2;
  for (char letter : letters) {
    bool down = false;
    for (const char *at = strokesOfLetter(letter); *at;) {
      if (*at == ' ') {
        down = false;
        ++at;
        continue;
      }
      Point point(left + (at[0] - '0') * unit,
                  text.y - (at[1] - '0' - 2) * unit);
      if (!down)
        strokes.emplace_back();
      strokes.back().push_back(point);
      down = true;
      at += 2;
    }
    left += advance;
  }
  return strokes;
}
