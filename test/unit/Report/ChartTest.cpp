//===- ChartTest.cpp - Tests of tables and plots of runs ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/report/Chart.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <unistd.h>
#include <zlib.h>

#include <gtest/gtest.h>

using namespace qrt;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

RunRecord makeRun(const std::string &name, double offset) {
  RunRecord run;
  run.name = name;
  run.config = {{"model", "tiny"},
                {"parameters", 12345},
                {"train", {{"seed", 7}, {"optimizer", {{"lr", 1e-3}}}}}};
  for (int i = 1; i <= 50; ++i)
    run.steps.push_back({{"type", "step"},
                         {"step", i},
                         {"loss", 5.0 / i + offset},
                         {"lr", 1e-3},
                         {"tokens", i * 256},
                         {"tokens_per_s", i == 1 ? 1.0 : 1000.0 + i},
                         {"seconds", i * 0.25}});
  for (int i = 10; i <= 50; i += 10)
    run.evals.push_back({{"type", "eval"},
                         {"step", i},
                         {"loss", i == 40 ? 0.5 : 1.0},
                         {"accuracy", 0.25},
                         {"bits_per_byte", 0.75}});
  return run;
}

TEST(Chart, TicksAreRoundAndSpanTheRange) {
  for (auto [low, high] : {std::pair(0.0, 1.0), std::pair(1.93, 7.41),
                           std::pair(-3e-5, 4e-5), std::pair(1e6, 1.2e6)}) {
    auto ticks = roundTicks(low, high, 6);
    ASSERT_GE(ticks.size(), 3u);
    EXPECT_LE(ticks.size(), 10u);
    double step = ticks[1] - ticks[0];
    EXPECT_LE(ticks.front(), low + 1e-6 * step);
    EXPECT_GE(ticks.back(), high - 1e-6 * step);
    double digits = step / std::pow(10, std::floor(std::log10(step) + 1e-9));
    EXPECT_TRUE(std::abs(digits - 1) < 1e-6 || std::abs(digits - 2) < 1e-6 ||
                std::abs(digits - 2.5) < 1e-6 || std::abs(digits - 5) < 1e-6)
        << digits;
  }
}

TEST(Chart, CurvesLieWhereTheirValuesAre) {
  Drawing drawing = drawRuns({makeRun("a", 0), makeRun("b <&>", 1)}, {});
  // The training loss of the first run: 50 points, falling (y grows downwards),
  // inside of the first panel.
  const Drawing::Line *loss = nullptr;
  for (const Drawing::Line &line : drawing.lines)
    if (line.points.size() == 50 && !loss)
      loss = &line;
  ASSERT_NE(loss, nullptr);
  for (size_t i = 1; i < 50; ++i) {
    EXPECT_GT(loss->points[i].first, loss->points[i - 1].first);
    EXPECT_GT(loss->points[i].second, loss->points[i - 1].second);
  }
  EXPECT_LT(loss->points.back().first, 600);
  EXPECT_LT(loss->points.back().second, 330);
  std::string svg = toSvg(drawing);
  EXPECT_NE(svg.find("b &lt;&amp;&gt;"), std::string::npos);
  EXPECT_NE(svg.find("validation: bits per byte"), std::string::npos);
  size_t open = 0, closed = 0;
  for (char c : svg) {
    open += c == '<';
    closed += c == '>';
  }
  EXPECT_EQ(open, closed);
}

uint32_t big(const std::string &bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

TEST(Raster, PngHoldsTheDrawing) {
  Drawing drawing;
  drawing.width = 40;
  drawing.height = 20;
  drawing.boxes.push_back({0, 0, 40, 20, 0xffffff});
  drawing.boxes.push_back({30, 10, 10, 10, 0x0000ff});
  drawing.lines.push_back({{{0, 5}, {20, 5}}, 0xff0000, 2});
  std::string png = toPng(drawing);
  ASSERT_EQ(png.substr(0, 8), std::string("\x89PNG\r\n\x1a\n", 8));
  EXPECT_EQ(png.substr(12, 4), "IHDR");
  EXPECT_EQ(big(png, 16), 40u);
  EXPECT_EQ(big(png, 20), 20u);
  size_t at = 8;
  std::string rows(20 * 121, '\0');
  while (at < png.size()) {
    uint32_t length = big(png, at);
    std::string body = png.substr(at + 4, length + 4);
    EXPECT_EQ(big(png, at + 8 + length),
              crc32(0, reinterpret_cast<const Bytef *>(body.data()),
                    uInt(body.size())));
    if (body.substr(0, 4) == "IDAT") {
      uLongf size = rows.size();
      ASSERT_EQ(uncompress(reinterpret_cast<Bytef *>(rows.data()), &size,
                           reinterpret_cast<const Bytef *>(body.data() + 4),
                           length),
                Z_OK);
      EXPECT_EQ(size, rows.size());
    }
    at += length + 12;
  }
  auto pixel = [&](size_t x, size_t y) {
    return rows.substr(y * 121 + 1 + 3 * x, 3);
  };
  EXPECT_EQ(pixel(35, 15), std::string("\0\0\xff", 3));
  EXPECT_EQ(pixel(10, 5), std::string("\xff\0\0", 3));
  EXPECT_EQ(pixel(10, 4), std::string("\xff\0\0", 3));
  EXPECT_EQ(pixel(10, 12), "\xff\xff\xff");
}

TEST(StrokeFont, EveryPrintedLetterHasStrokes) {
  Drawing::Text text;
  text.size = 10;
  text.text = "(";
  auto unlike = strokesOf({0, 0, "\x7f", 10, 0, Drawing::Text::Start});
  for (char c = '0'; c <= 'z'; ++c) {
    if (!std::isalnum(static_cast<unsigned char>(c)))
      continue;
    text.text = std::string(1, c);
    auto strokes = strokesOf(text);
    ASSERT_FALSE(strokes.empty()) << c;
    EXPECT_NE(strokes, unlike) << c;
    for (const auto &stroke : strokes)
      for (auto [x, y] : stroke) {
        EXPECT_GE(x, 0);
        EXPECT_LE(x, 4);
        EXPECT_GE(y, -6);
        EXPECT_LE(y, 2);
      }
  }
  // The end of a text is where it is anchored.
  Drawing::Text right{100, 0, "abc", 10, 0, Drawing::Text::End};
  EXPECT_EQ(strokesOf(right)[0][0].first, 82 + 1);
}

TEST(RunRecord, ReadsComparesAndSkipsACutOffLine) {
  fs::path folder =
      fs::path(testing::TempDir()) / fmt::format("qwen-report-{}", getpid());
  fs::create_directories(folder / "run");
  RunRecord run = makeRun("run", 0);
  {
    std::ofstream file(folder / "run/metrics.jsonl");
    json config = run.config;
    config["type"] = "config";
    file << config << "\n";
    for (const json &event : run.steps)
      file << event << "\n";
    for (const json &event : run.evals)
      file << event << "\n";
    file << "{\"type\": \"st";
  }
  auto read = readRun((folder / "run").string());
  ASSERT_TRUE(read) << read.error().str();
  EXPECT_EQ(read->name, "run");
  EXPECT_EQ(read->steps.size(), 50u);
  json rows = compareRuns({*read, makeRun("other", 0.5)});
  EXPECT_EQ(rows[0]["steps"], 50);
  EXPECT_EQ(rows[0]["eval_loss"], 0.5);
  EXPECT_EQ(rows[0]["lr"], 1e-3);
  EXPECT_EQ(rows[0]["tokens_per_s"], 1026.0);
  EXPECT_EQ(rows[1]["run"], "other");
  std::string table = compareTable({*read});
  EXPECT_EQ(table.find("run"), 0u);
  EXPECT_NE(table.find("bits_per_byte"), std::string::npos);
  EXPECT_NE(table.find("0.7500"), std::string::npos);
  std::ofstream(folder / "run/metrics.jsonl") << "{\"type\": \"config\"}\n";
  EXPECT_EQ(readRun((folder / "run").string()).error().code, 8012);
  fs::remove_all(folder);
}

} // namespace
