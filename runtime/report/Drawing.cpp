//===- Drawing.cpp - Lines, boxes and texts as SVG ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/report/Drawing.h"

#include <fmt/format.h>

using namespace qrt;

namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out;
}

} // namespace

std::string qrt::toSvg(const Drawing &drawing) {
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
      "viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\">\n",
      drawing.width, drawing.height);
  for (const Drawing::Box &box : drawing.boxes)
    out += fmt::format("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" "
                       "height=\"{:.2f}\" fill=\"#{:06x}\"/>\n",
                       box.x, box.y, box.width, box.height, box.colour);
  for (const Drawing::Line &line : drawing.lines) {
    out += fmt::format("<polyline fill=\"none\" stroke=\"#{:06x}\" "
                       "stroke-width=\"{}\" stroke-linejoin=\"round\"{} "
                       "points=\"",
                       line.colour, line.width,
                       line.dashed ? " stroke-dasharray=\"6 4\"" : "");
    for (auto [x, y] : line.points)
      out += fmt::format("{:.2f},{:.2f} ", x, y);
    out += "\"/>\n";
  }
  constexpr const char *anchors[] = {"start", "middle", "end"};
  for (const Drawing::Text &text : drawing.texts)
    out += fmt::format("<text x=\"{:.2f}\" y=\"{:.2f}\" font-size=\"{}\" "
                       "fill=\"#{:06x}\" text-anchor=\"{}\">{}</text>\n",
                       text.x, text.y, text.size, text.colour,
                       anchors[text.anchor], escaped(text.text));
  return out + "</svg>\n";
}
