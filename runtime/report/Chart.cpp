//===- Chart.cpp - Curves of runs -----------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/report/Chart.h"
#include "runtime/core/Progress.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

using namespace qrt;
using nlohmann::json;

namespace {

constexpr double kPanelWidth = 600, kPanelHeight = 330;
constexpr Colour kInk = 0x333333, kGrid = 0xdddddd, kPaper = 0xffffff;
/// Told apart by most people, colour-blind ones included.
constexpr Colour kColours[] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                               0xe69f00, 0x56b4e9, 0x000000, 0x8c564b};

struct Series {
  std::vector<Point> points;
  Colour colour = 0;
};

struct Panel {
  std::string title;
  std::vector<Series> series;
  double x = 0, y = 0; // of the upper left corner
};

/// (x, y) of all events that have both. An eval has no tokens or seconds of its
/// own: it gets those of the step before it.
std::vector<Point> pointsOf(const RunRecord &run,
                            const std::vector<json> &events, const char *y,
                            const std::string &x) {
  std::vector<Point> points;
  size_t at = 0;
  for (const json &event : events) {
    if (!event.contains(y) || !event[y].is_number() || !event.contains("step"))
      continue;
    const json *from = &event;
    if (!event.contains(x)) {
      while (at + 1 < run.steps.size() &&
             run.steps[at + 1]["step"] <= event["step"])
        ++at;
      from = &run.steps[at];
    }
    if (from->contains(x) && (*from)[x].is_number())
      points.emplace_back((*from)[x].get<double>(), event[y].get<double>());
  }
  return points;
}

/// Exponential means with the bias of the start taken out.
void smooth(std::vector<Point> &points, double weight) {
  double mean = 0, rest = 1;
  for (auto &[x, y] : points) {
    mean = weight * mean + (1 - weight) * y;
    rest *= weight;
    y = mean / (1 - rest);
  }
}

std::string label(double value) {
  if (value == 0)
    return "0";
  if (std::abs(value) >= 1000)
    return formatCount(value);
  if (std::abs(value) < 1e-3)
    return fmt::format("{:.2g}", value);
  return fmt::format("{:.6g}", value);
}

void drawPanel(const Panel &panel, const std::string &xName, Drawing &out) {
  double left = panel.x + 70, right = panel.x + kPanelWidth - 20;
  double top = panel.y + 36, bottom = panel.y + kPanelHeight - 44;
  out.texts.push_back({panel.x + kPanelWidth / 2, panel.y + 22, panel.title, 15,
                       kInk, Drawing::Text::Middle});
  double lowX = HUGE_VAL, highX = -HUGE_VAL, lowY = HUGE_VAL, highY = -HUGE_VAL;
  for (const Series &series : panel.series)
    for (auto [x, y] : series.points) {
      lowX = std::min(lowX, x);
      highX = std::max(highX, x);
      lowY = std::min(lowY, y);
      highY = std::max(highY, y);
    }
  if (lowX > highX) {
    out.texts.push_back({panel.x + kPanelWidth / 2, (top + bottom) / 2,
                         "no data", 13, kInk, Drawing::Text::Middle});
    return;
  }
  auto widen = [](double &low, double &high) {
    if (high - low <= 1e-12 * std::max(std::abs(high), std::abs(low))) {
      double by = high == 0 ? 1 : std::abs(high) * 0.05;
      low -= by;
      high += by;
    }
  };
  widen(lowX, highX);
  widen(lowY, highY);
  std::vector<double> ticksY = roundTicks(lowY, highY, 6);
  lowY = std::min(lowY, ticksY.front());
  highY = std::max(highY, ticksY.back());
  auto toX = [&](double x) {
    return left + (x - lowX) / (highX - lowX) * (right - left);
  };
  auto toY = [&](double y) {
    return bottom - (y - lowY) / (highY - lowY) * (bottom - top);
  };
  for (double tick : ticksY) {
    out.lines.push_back({{{left, toY(tick)}, {right, toY(tick)}}, kGrid, 1});
    out.texts.push_back(
        {left - 8, toY(tick) + 4, label(tick), 11, kInk, Drawing::Text::End});
  }
  for (double tick : roundTicks(lowX, highX, 7)) {
    if (tick < lowX || tick > highX)
      continue;
    out.lines.push_back(
        {{{toX(tick), bottom}, {toX(tick), bottom + 5}}, kInk, 1});
    out.texts.push_back(
        {toX(tick), bottom + 18, label(tick), 11, kInk, Drawing::Text::Middle});
  }
  out.lines.push_back(
      {{{left, top}, {left, bottom}, {right, bottom}}, kInk, 1});
  out.texts.push_back({(left + right) / 2, bottom + 34, xName, 11, kInk,
                       Drawing::Text::Middle});
  for (const Series &series : panel.series) {
    Drawing::Line line;
    line.colour = series.colour;
    line.width = 1.5;
    for (auto [x, y] : series.points)
      line.points.emplace_back(toX(x), toY(y));
    if (line.points.size() == 1) // a dot
      line.points.emplace_back(line.points[0].first + 2, line.points[0].second);
    if (!line.points.empty())
      out.lines.push_back(std::move(line));
  }
}

} // namespace

std::vector<double> qrt::roundTicks(double low, double high, int count) {
  double step = (high - low) / std::max(count - 1, 1);
  double power = std::pow(10, std::floor(std::log10(step)));
  for (double factor : {1.0, 2.0, 2.5, 5.0, 10.0})
    if (factor * power >= step * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  std::vector<double> ticks;
  for (double at = std::floor(low / step + 1e-9);
       at * step < high + step * (1 - 1e-9); ++at)
    ticks.push_back(at * step);
  return ticks;
}

Drawing qrt::drawRuns(const std::vector<RunRecord> &runs,
                      const ChartOptions &options) {
  bool bits = true;
  for (const RunRecord &run : runs) {
    const json *best = run.best();
    bits &= best && best->contains("bits_per_byte") &&
            (*best)["bits_per_byte"].is_number();
  }
  Panel panels[] = {{"training loss", {}, 0, 0},
                    {bits ? "validation: bits per byte" : "validation loss",
                     {},
                     kPanelWidth,
                     0},
                    {"learning rate", {}, 0, kPanelHeight},
                    {"tokens per second", {}, kPanelWidth, kPanelHeight}};
  for (size_t i = 0; i < runs.size(); ++i) {
    const RunRecord &run = runs[i];
    Colour colour = kColours[i % std::size(kColours)];
    auto steps = [&](const char *key) {
      return pointsOf(run, run.steps, key, options.x);
    };
    std::vector<Point> loss = steps("loss");
    smooth(loss, options.smooth);
    panels[0].series.push_back({std::move(loss), colour});
    panels[1].series.push_back(
        {pointsOf(run, run.evals, bits ? "bits_per_byte" : "loss", options.x),
         colour});
    panels[2].series.push_back({steps("lr"), colour});
    std::vector<Point> speed = steps("tokens_per_s");
    if (speed.size() > 1)
      speed.erase(speed.begin()); // has the start in it
    panels[3].series.push_back({std::move(speed), colour});
  }
  Drawing drawing;
  double legend = 20 * std::ceil(double(runs.size()) / 2) + 16;
  drawing.width = int(2 * kPanelWidth);
  drawing.height = int(2 * kPanelHeight + legend);
  drawing.boxes.push_back(
      {0, 0, double(drawing.width), double(drawing.height), kPaper});
  for (const Panel &panel : panels)
    drawPanel(panel, options.x, drawing);
  for (size_t i = 0; i < runs.size(); ++i) {
    double x = i % 2 ? kPanelWidth + 70 : 70;
    double y = 2 * kPanelHeight + 14 + 20 * double(i / 2);
    drawing.lines.push_back(
        {{{x, y - 4}, {x + 30, y - 4}}, kColours[i % std::size(kColours)], 3});
    drawing.texts.push_back(
        {x + 40, y, runs[i].name, 12, kInk, Drawing::Text::Start});
  }
  return drawing;
}
