//===- Quantize.cpp - Weights as small integers ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Quantize.h"

#include "runtime/abi/qwen_int4.h"

#include <algorithm>
#include <cmath>
#include <limits>

// Wider vectors where the processor has them; without fused multiply-adds, so
// the results are the same bits.
#define QRT_WIDE __attribute__((target_clones("avx2", "default")))

namespace qrt {

namespace {

constexpr int64_t kGroup = kQuantizedGroup;
/// The largest step.
constexpr int kMaxStep = 64;
/// The number of the half byte -8, the largest by size.
constexpr float kExtreme = 8 * (8 * 8 + QRT_INT4_CURVE);
/// Steps that are tried, in parts of the one that makes the group's extreme the
/// half byte -8; with the other sign it becomes 7. Smaller steps cut the
/// extreme off and are closer to all others.
constexpr float kTried[] = {1, 0.94f, 0.88f, 0.82f, -1.23f, -1.16f, -1.08f};

/// `x` to the nearest whole number, ties to even, for |x| < 2^22. Two additions
/// are faster than a call of rint where there is no instruction for it.
inline float nearest(float x) {
  constexpr float kMagic = 12582912.0f; // 1.5 * 2^23
  return (x + kMagic) - kMagic;
}

inline float clamp(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

QRT_WIDE float largest(const float *from, int64_t count) {
  float result = 0;
  for (int64_t i = 0; i < count; ++i)
    result = std::max(result, std::fabs(from[i]));
  return result;
}

/// 0, or a NaN if some value is not finite: x - x is NaN for those.
QRT_WIDE float finiteness(const float *from, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += from[i] - from[i];
  return sum;
}

QRT_WIDE void quantizeInt8(const float *from, int64_t columns, float inverse,
                           int8_t *to) {
  for (int64_t i = 0; i < columns; ++i)
    to[i] = static_cast<int8_t>(nearest(clamp(from[i] * inverse, -127, 127)));
}

/// The number of int4 nearest to each value over `step`: half bytes from -8 to
/// 7, as floats.
struct Halves {
  float of[kGroup];
};

inline Halves nearestHalves(const float *group, float step) {
  float inverse = 1 / step;
  Halves halves;
  for (float &half : halves.of)
    half = -8;
  for (int h = -8; h < 7; ++h) {
    float middle =
        0.5f * static_cast<float>(qrt_int4_number(h) + qrt_int4_number(h + 1));
    for (int64_t i = 0; i < kGroup; ++i)
      halves.of[i] += group[i] * inverse > middle ? 1.0f : 0.0f;
  }
  return halves;
}

/// The squared error of a group with steps of size `step`.
QRT_WIDE float errorOf(const float *group, float step) {
  constexpr int64_t kChains = 8;
  Halves halves = nearestHalves(group, step);
  float sums[kChains] = {};
  for (int64_t i = 0; i < kGroup; i += kChains)
    for (int64_t c = 0; c < kChains; ++c) {
      float half = halves.of[i + c];
      float error =
          group[i + c] - step * (half * (half * half + QRT_INT4_CURVE));
      sums[c] += error * error;
    }
  float sum = 0;
  for (float part : sums)
    sum += part;
  return sum;
}

/// Two columns a byte, with steps of size `step`.
QRT_WIDE void packGroup(const float *group, float step, int8_t *to) {
  Halves halves = nearestHalves(group, step);
  for (int64_t i = 0; i < kGroup / 2; ++i) {
    auto low = static_cast<int>(halves.of[i]);
    auto high = static_cast<int>(halves.of[i + kGroup / 2]);
    to[i] = static_cast<int8_t>((low & 15) | (high & 15) << 4);
  }
}

/// The value of a group that is farthest from 0, with its sign.
float extremeOf(const float *group) {
  float result = 0;
  for (int64_t i = 0; i < kGroup; ++i)
    if (std::fabs(group[i]) > std::fabs(result))
      result = group[i];
  return result;
}

void quantizeInt4(const float *from, int64_t columns, float largest,
                  int8_t *values, int8_t *steps, float &scale) {
  scale = largest / (kExtreme * kMaxStep);
  for (int64_t g = 0; g < columns / kGroup; ++g) {
    const float *group = from + g * kGroup;
    int8_t *to = values + g * kGroup / 2;
    float extreme = extremeOf(group);
    // Also where the scale is too small to divide by.
    if (extreme == 0 || scale < std::numeric_limits<float>::min()) {
      steps[g] = 1;
      std::fill_n(to, kGroup / 2, int8_t(0));
      continue;
    }
    float ideal = extreme / -kExtreme / scale, best = 0, bestError = 0;
    for (float part : kTried) {
      float step = nearest(clamp(ideal * part, -kMaxStep, kMaxStep));
      if (step == 0)
        step = ideal * part < 0 ? -1 : 1;
      float error = errorOf(group, step * scale);
      if (best == 0 || error < bestError) {
        best = step;
        bestError = error;
      }
    }
    steps[g] = static_cast<int8_t>(best);
    packGroup(group, best * scale, to);
  }
}

} // namespace

void quantizeRows(const float *from, int64_t first, int64_t rows,
                  const QuantizedMatrix &to) {
  int64_t k = to.columns, length = to.rowLength();
  for (int64_t row = first; row < first + rows; ++row, from += length) {
    float &scale = to.scales[row];
    float high = largest(from, length);
    bool finite = finiteness(from, length) == 0;
    const float *held = from + to.firstColumn;
    if (to.steps)
      quantizeInt4(held, k, finite ? high : 0, to.values + row * (k / 2),
                   to.steps + row * (k / kGroup), scale);
    else {
      scale = high / 127;
      if (finite && scale >= std::numeric_limits<float>::min())
        quantizeInt8(held, k, 1 / scale, to.values + row * k);
      else
        std::fill_n(to.values + row * k, k, int8_t(0));
    }
    if (!finite)
      scale = std::numeric_limits<float>::quiet_NaN();
  }
}

void dequantizeRow(const QuantizedMatrix &from, int64_t row, float *to) {
  int64_t k = from.columns;
  for (int64_t c = 0; c < k; ++c) {
    float value;
    if (from.steps) {
      int byte = from.values[row * (k / 2) + c / kGroup * (kGroup / 2) +
                             c % (kGroup / 2)];
      int half = (c % kGroup < kGroup / 2 ? byte : byte >> 4) & 15;
      value = static_cast<float>(qrt_int4_number(half < 8 ? half : half - 16) *
                                 from.steps[row * (k / kGroup) + c / kGroup]);
    } else {
      value = from.values[row * k + c];
    }
    to[c] = value * from.scales[row];
  }
}

} // namespace qrt
