//===- Drawing.h - Lines, boxes and texts, as SVG or PNG -------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_REPORT_DRAWING_H
#define QWEN_RUNTIME_REPORT_DRAWING_H

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qrt {

using Point = std::pair<double, double>;

/// 0xrrggbb.
using Colour = uint32_t;

/// A picture; coordinates are pixels from the upper left corner.
struct Drawing {
  int width = 0, height = 0;

  struct Line {
    std::vector<Point> points;
    Colour colour = 0;
    double width = 1;
    bool dashed = false;
  };
  struct Box { ///< filled
    double x = 0, y = 0, width = 0, height = 0;
    Colour colour = 0;
  };
  struct Text {
    double x = 0, y = 0; ///< of the baseline
    std::string text;
    double size = 12; ///< height of a line
    Colour colour = 0;
    enum Anchor { Start, Middle, End } anchor = Start;
  };
  // Drawn in this order.
  std::vector<Box> boxes;
  std::vector<Line> lines;
  std::vector<Text> texts;
};

/// The drawing as an SVG document.
std::string toSvg(const Drawing &drawing);

/// The drawing as a PNG file (8 bits a channel), lines and letters smoothed.
std::string toPng(const Drawing &drawing);

/// The lines of which a text consists, for drawing without fonts. All letters
/// are `size` x 0.6 wide.
std::vector<std::vector<Point>> strokesOf(const Drawing::Text &text);

} // namespace qrt

#endif // QWEN_RUNTIME_REPORT_DRAWING_H
