//===- Raster.cpp - Drawings as PNG ---------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A pixel of a line is covered by as much as its centre is nearer to the line
// than half the line's width, give or take half a pixel.
//
//===----------------------------------------------------------------------===//

#include "runtime/report/Drawing.h"

#include <algorithm>
#include <cmath>
#include <zlib.h>

using namespace qrt;

namespace {

class Canvas {
public:
  Canvas(int width, int height)
      : width(width), height(height), pixels(size_t(width) * height * 3, 255),
        covered(size_t(width) * height, 0) {}

  void fill(const Drawing::Box &box) {
    int x0 = std::clamp(int(std::lround(box.x)), 0, width);
    int x1 = std::clamp(int(std::lround(box.x + box.width)), 0, width);
    int y0 = std::clamp(int(std::lround(box.y)), 0, height);
    int y1 = std::clamp(int(std::lround(box.y + box.height)), 0, height);
    for (int y = y0; y < y1; ++y)
      for (int x = x0; x < x1; ++x)
        blend(x, y, box.colour, 1);
  }

  /// All strokes are covered first and coloured then: where they meet, nothing
  /// is drawn twice.
  void stroke(const std::vector<std::vector<Point>> &strokes, double thickness,
              Colour colour) {
    touched.clear();
    for (const auto &points : strokes)
      for (size_t i = 0; i < points.size(); ++i)
        if (i + 1 < points.size() || points.size() == 1)
          segment(points[i], points[std::min(i + 1, points.size() - 1)],
                  thickness);
    for (size_t at : touched) {
      blend(int(at % size_t(width)), int(at / size_t(width)), colour,
            covered[at]);
      covered[at] = 0;
    }
  }

  std::string png() const;

private:
  void segment(Point a, Point b, double thickness) {
    double reach = thickness / 2 + 0.5;
    auto low = [&](double p, double q, int most) {
      return std::clamp(int(std::floor(std::min(p, q) - reach)), 0, most);
    };
    auto high = [&](double p, double q, int most) {
      return std::clamp(int(std::ceil(std::max(p, q) + reach)), 0, most);
    };
    double dx = b.first - a.first, dy = b.second - a.second;
    double squares = dx * dx + dy * dy;
    for (int y = low(a.second, b.second, height),
             end = high(a.second, b.second, height);
         y < end; ++y)
      for (int x = low(a.first, b.first, width),
               stop = high(a.first, b.first, width);
           x < stop; ++x) {
        double px = x + 0.5 - a.first, py = y + 0.5 - a.second;
        double t = squares > 0
                       ? std::clamp((px * dx + py * dy) / squares, 0.0, 1.0)
                       : 0;
        double distance = std::hypot(px - t * dx, py - t * dy);
        auto part = float(std::clamp(reach - distance, 0.0, 1.0));
        float &cover = covered[size_t(y) * width + x];
        if (part <= cover)
          continue;
        if (cover == 0)
          touched.push_back(size_t(y) * width + x);
        cover = part;
      }
  }

  void blend(int x, int y, Colour colour, double part) {
    uint8_t *pixel = &pixels[(size_t(y) * width + x) * 3];
    for (int c = 0; c < 3; ++c) {
      double to = double(colour >> (16 - 8 * c) & 0xff);
      pixel[c] = uint8_t(std::lround(pixel[c] + (to - pixel[c]) * part));
    }
  }

  int width, height;
  std::vector<uint8_t> pixels;
  std::vector<float> covered;
  std::vector<size_t> touched;
};

void appendBig(std::string &out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out += char(value >> shift);
}

void appendChunk(std::string &out, const std::string &type,
                 const std::string &data) {
  appendBig(out, uint32_t(data.size()));
  std::string body = type + data;
  out += body;
  appendBig(out, uint32_t(crc32(0, reinterpret_cast<const Bytef *>(body.data()),
                                uInt(body.size()))));
}

std::string Canvas::png() const {
  std::string header;
  appendBig(header, uint32_t(width));
  appendBig(header, uint32_t(height));
  header += std::string("\x08\x02\0\0\0", 5); // 8 bits, RGB
  std::string rows;
  for (int y = 0; y < height; ++y) {
    rows += '\0'; // no filter
    rows.append(reinterpret_cast<const char *>(&pixels[size_t(y) * width * 3]),
                size_t(width) * 3);
  }
  uLongf size = compressBound(uLong(rows.size()));
  std::string data(size, '\0');
  compress2(reinterpret_cast<Bytef *>(data.data()), &size,
            reinterpret_cast<const Bytef *>(rows.data()), uLong(rows.size()),
            9);
  data.resize(size);
  std::string out("\x89PNG\r\n\x1a\n", 8);
  appendChunk(out, "IHDR", header);
  appendChunk(out, "IDAT", data);
  appendChunk(out, "IEND", "");
  return out;
}

/// The parts of a line that are drawn of a dashed one.
std::vector<std::vector<Point>> dashes(const std::vector<Point> &points) {
  constexpr double on = 6, off = 4;
  std::vector<std::vector<Point>> parts;
  double phase = 0; // within a dash and the gap behind it
  for (size_t i = 0; i + 1 < points.size(); ++i) {
    Point a = points[i], b = points[i + 1];
    double length = std::hypot(b.first - a.first, b.second - a.second);
    for (double at = 0; at < length;) {
      bool drawn = phase < on;
      double step = std::min((drawn ? on : on + off) - phase, length - at);
      auto point = [&](double d) {
        return Point(a.first + (b.first - a.first) * d / length,
                     a.second + (b.second - a.second) * d / length);
      };
      if (drawn)
        parts.push_back({point(at), point(at + step)});
      at += step;
      phase += step;
      if (phase >= on + off - 1e-9)
        phase = 0;
      if (step <= 0)
        break;
    }
  }
  return parts;
}

} // namespace

std::string qrt::toPng(const Drawing &drawing) {
  Canvas canvas(drawing.width, drawing.height);
  for (const Drawing::Box &box : drawing.boxes)
    canvas.fill(box);
  for (const Drawing::Line &line : drawing.lines) {
    std::vector<std::vector<Point>> parts = {line.points};
    if (line.dashed)
      parts = dashes(line.points);
    canvas.stroke(parts, line.width, line.colour);
  }
  for (const Drawing::Text &text : drawing.texts)
    canvas.stroke(strokesOf(text), text.size / 11, text.colour);
  return canvas.png();
}
