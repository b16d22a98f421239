//===- QuantizeTest.cpp ---------------------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Quantize.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <vector>

using namespace qrt;

namespace {

struct Quantized {
  std::vector<int8_t> values, steps;
  std::vector<float> scales;
  QuantizedMatrix matrix;

  Quantized(int64_t rows, int64_t columns, bool packed)
      : values(rows * columns / (packed ? 2 : 1)),
        steps(packed ? rows * columns / 32 : 0), scales(rows) {
    matrix = {columns, values.data(), scales.data(),
              packed ? steps.data() : nullptr};
  }
};

std::vector<float> normals(int64_t count, unsigned seed, float scale) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> result(count);
  for (float &value : result)
    value = normal(generator);
  return result;
}

/// sqrt(sum (w - q)^2 / sum w^2) of one row.
double relativeError(const std::vector<float> &w, const Quantized &q,
                     int64_t row) {
  int64_t k = q.matrix.columns;
  std::vector<float> got(k);
  dequantizeRow(q.matrix, row, got.data());
  double error = 0, all = 0;
  for (int64_t c = 0; c < k; ++c) {
    double value = w[row * k + c];
    error += (value - got[c]) * (value - got[c]);
    all += value * value;
  }
  return std::sqrt(error / all);
}

} // namespace

TEST(Quantize, PartsOfTheColumnsAreThoseOfWholeRows) {
  constexpr int64_t rows = 3, columns = 160, first = 64, held = 96;
  std::vector<float> w = normals(rows * columns, 3, 0.1f);
  w[1 * columns + 7] = 5; // the largest of a row, among what is not held
  for (bool packed : {false, true}) {
    Quantized whole(rows, columns, packed), part(rows, held, packed);
    part.matrix.allColumns = columns;
    part.matrix.firstColumn = first;
    quantizeRows(w.data(), 0, rows, whole.matrix);
    quantizeRows(w.data(), 0, rows, part.matrix);
    EXPECT_EQ(part.scales, whole.scales);
    std::vector<float> want(columns), got(held);
    for (int64_t r = 0; r < rows; ++r) {
      dequantizeRow(whole.matrix, r, want.data());
      dequantizeRow(part.matrix, r, got.data());
      EXPECT_EQ(got, std::vector<float>(want.begin() + first, want.end()));
    }
  }
}

TEST(Quantize, Int8IsTheNearestOf255Values) {
  constexpr int64_t rows = 7, columns = 45;
  auto w = normals(rows * columns, 1, 0.02f);
  Quantized q(rows, columns, false);
  quantizeRows(w.data(), 0, rows, q.matrix);
  for (int64_t r = 0; r < rows; ++r) {
    float largest = 0;
    for (int64_t c = 0; c < columns; ++c)
      largest = std::max(largest, std::fabs(w[r * columns + c]));
    EXPECT_FLOAT_EQ(q.scales[r], largest / 127);
    for (int64_t c = 0; c < columns; ++c)
      EXPECT_LE(std::fabs(w[r * columns + c] -
                          q.scales[r] * q.values[r * columns + c]),
                0.5001f * q.scales[r]);
  }
}

TEST(Quantize, Int4IsCloseAlsoWhereGroupsDiffer) {
  constexpr int64_t rows = 16, columns = 256;
  auto w = normals(rows * columns, 2, 0.02f);
  Quantized even(rows, columns, true);
  quantizeRows(w.data(), 0, rows, even.matrix);
  for (int64_t r = 0; r < rows; ++r)
    EXPECT_LT(relativeError(w, even, r), 0.1) << r;
  // One group ten times as large as the others: those keep their own steps.
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 64; c < 96; ++c)
      w[r * columns + c] *= 10;
  Quantized uneven(rows, columns, true);
  quantizeRows(w.data(), 0, rows, uneven.matrix);
  std::vector<float> got(columns);
  for (int64_t r = 0; r < rows; ++r) {
    EXPECT_LT(relativeError(w, uneven, r), 0.13) << r;
    dequantizeRow(uneven.matrix, r, got.data());
    double error = 0, all = 0;
    for (int64_t c = 0; c < 64; ++c) {
      error += std::pow(w[r * columns + c] - got[c], 2);
      all += std::pow(w[r * columns + c], 2);
    }
    EXPECT_LT(std::sqrt(error / all), 0.2) << r;
  }
  for (int8_t step : uneven.steps) {
    EXPECT_NE(step, 0);
    EXPECT_LE(std::abs(step), 64);
  }
}

TEST(Quantize, RowsDoNotDependOnEachOther) {
  constexpr int64_t rows = 5, columns = 64;
  auto w = normals(rows * columns, 3, 1.0f);
  for (bool packed : {false, true}) {
    Quantized whole(rows, columns, packed), parts(rows, columns, packed);
    quantizeRows(w.data(), 0, rows, whole.matrix);
    for (int64_t r = rows - 1; r >= 0; --r)
      quantizeRows(w.data() + r * columns, r, 1, parts.matrix);
    EXPECT_EQ(whole.values, parts.values);
    EXPECT_EQ(whole.steps, parts.steps);
    EXPECT_EQ(whole.scales, parts.scales);
  }
}

TEST(Quantize, ExtremeRows) {
  constexpr int64_t columns = 64;
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> got(columns);
  for (bool packed : {false, true}) {
    Quantized q(1, columns, packed);
    std::vector<float> w(columns, 0.0f);
    quantizeRows(w.data(), 0, 1, q.matrix);
    dequantizeRow(q.matrix, 0, got.data());
    EXPECT_EQ(got, w);
    // Below what a scale can divide by.
    w[3] = 1e-44f;
    quantizeRows(w.data(), 0, 1, q.matrix);
    dequantizeRow(q.matrix, 0, got.data());
    for (float value : got)
      EXPECT_LE(std::fabs(value), 1e-37f);
    // Near the largest number.
    w[3] = 3e38f;
    w[40] = -3e38f;
    quantizeRows(w.data(), 0, 1, q.matrix);
    dequantizeRow(q.matrix, 0, got.data());
    EXPECT_NEAR(got[3] / 3e38f, 1, 0.15);
    EXPECT_NEAR(got[40] / -3e38f, 1, 0.15);
    for (float bad : {infinity, -infinity, std::nanf("")}) {
      w[5] = bad;
      quantizeRows(w.data(), 0, 1, q.matrix);
      EXPECT_TRUE(std::isnan(q.scales[0]));
    }
  }
}
