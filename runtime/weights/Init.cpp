//===- Init.cpp - Random initial weights ----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compiled without contraction of a * b + c: a fused operation would change
// bits between machines.
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Init.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace qrt {

namespace {

/// Elements made at a time. The loops below are written over blocks without
/// branches so that the compiler makes vectors of them.
constexpr int blockElements = 512;
constexpr int counters = blockElements / 4;
constexpr int pairs = blockElements / 2;

/// Random words of counters [first, first + 128), element 4 i + j of the tensor
/// is word j of counter i.
void randomWords(const Philox &random, uint64_t stream, uint64_t first,
                 uint32_t *words) {
  for (int i = 0; i < counters; ++i) {
    std::array<uint32_t, 4> w =
        random(first + static_cast<uint64_t>(i), stream);
    std::memcpy(words + 4 * i, w.data(), sizeof w);
  }
}

/// The natural logarithm of a positive normal number, to about 1e-14.
inline double logarithm(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, 8);
  // x = 2^e * m with m in [sqrt(1/2), sqrt(2)): adding what is missing from
  // sqrt(1/2)'s mantissa to 1 carries into the exponent exactly where needed.
  constexpr uint64_t sqrtHalf = 0x3FE6A09E667F3BCDu;
  uint64_t shifted = bits + (0x3FF0000000000000u - sqrtHalf);
  auto exponent = static_cast<int32_t>(shifted >> 52) - 1023;
  uint64_t mantissa = (shifted & 0x000FFFFFFFFFFFFFu) + sqrtHalf;
  double m;
  std::memcpy(&m, &mantissa, 8);
  // log m = 2 artanh t.
  double t = (m - 1.0) / (m + 1.0), s = t * t;
  double p = 1.0 / 15;
  p = p * s + 1.0 / 13;
  p = p * s + 1.0 / 11;
  p = p * s + 1.0 / 9;
  p = p * s + 1.0 / 7;
  p = p * s + 1.0 / 5;
  p = p * s + 1.0 / 3;
  p = p * s + 1.0;
  return static_cast<double>(exponent) * 0.693147180559945309417 + 2.0 * t * p;
}

/// Sine and cosine of `turn` * 2^-32 full turns, to about 1e-13.
inline void sineCosine(uint32_t turn, double &sine, double &cosine) {
  // The nearest quarter turn, and the rest in [-1/8, 1/8) turns: exact.
  uint32_t quarter = (turn + 0x20000000u) >> 30;
  auto rest = static_cast<int32_t>(turn - (quarter << 30));
  double a =
      static_cast<double>(rest) * (6.28318530717958647693 / 4294967296.0);
  double q = a * a;
  double s = 1.0 / 6227020800.0;
  s = s * q - 1.0 / 39916800;
  s = s * q + 1.0 / 362880;
  s = s * q - 1.0 / 5040;
  s = s * q + 1.0 / 120;
  s = s * q - 1.0 / 6;
  s = s * q + 1.0;
  s = s * a;
  double c = 1.0 / 479001600;
  c = c * q - 1.0 / 3628800;
  c = c * q + 1.0 / 40320;
  c = c * q - 1.0 / 720;
  c = c * q + 1.0 / 24;
  c = c * q - 1.0 / 2;
  c = c * q + 1.0;
  bool swap = quarter & 1;
  double y = swap ? c : s, x = swap ? s : c;
  sine = quarter & 2 ? -y : y;
  cosine = (quarter + 1) & 2 ? -x : x;
}

/// Box and Muller: words 2 i and 2 i + 1 become two independent normals.
void normals(const uint32_t *words, double mean, double std, float *out) {
  double radius[pairs], sine[pairs], cosine[pairs];
  for (int i = 0; i < pairs; ++i) {
    // In (0, 1]: the logarithm is finite.
    double u = (static_cast<double>(words[2 * i]) + 1.0) * (1.0 / 4294967296.0);
    radius[i] = std * std::sqrt(-2.0 * logarithm(u));
  }
  for (int i = 0; i < pairs; ++i)
    sineCosine(words[2 * i + 1], sine[i], cosine[i]);
  for (int i = 0; i < pairs; ++i) {
    out[2 * i] = static_cast<float>(mean + radius[i] * cosine[i]);
    out[2 * i + 1] = static_cast<float>(mean + radius[i] * sine[i]);
  }
}

void uniforms(const uint32_t *words, double low, double high, float *out) {
  double scale = (high - low) * (1.0 / 4294967296.0);
  for (int i = 0; i < blockElements; ++i)
    out[i] = static_cast<float>(low + static_cast<double>(words[i]) * scale);
}

} // namespace

void initialValues(const InitInfo &init, const Philox &random, uint64_t stream,
                   uint64_t begin, uint64_t count, float *out) {
  switch (init.kind) {
  case InitInfo::Kind::Zeros:
    std::fill_n(out, count, 0.0f);
    return;
  case InitInfo::Kind::Ones:
    std::fill_n(out, count, 1.0f);
    return;
  case InitInfo::Kind::Constant:
    std::fill_n(out, count, static_cast<float>(init.value));
    return;
  case InitInfo::Kind::Normal:
  case InitInfo::Kind::Uniform:
    break;
  }
  uint32_t words[blockElements];
  float values[blockElements];
  uint64_t end = begin + count;
  for (uint64_t block = begin / blockElements; block * blockElements < end;
       ++block) {
    uint64_t start = block * blockElements;
    uint64_t from = std::max(begin, start);
    uint64_t to = std::min(end, start + blockElements);
    bool whole = from == start && to == start + blockElements;
    float *target = whole ? out + (start - begin) : values;
    randomWords(random, stream, block * counters, words);
    if (init.kind == InitInfo::Kind::Normal)
      normals(words, init.mean, init.std, target);
    else
      uniforms(words, init.low, init.high, target);
    if (!whole)
      std::copy(values + (from - start), values + (to - start),
                out + (from - begin));
  }
}

void initialValues(const InitInfo &init, uint64_t seed, std::string_view name,
                   uint64_t begin, uint64_t count, float *out) {
  initialValues(init, Philox(seed, RandomPurpose::Initialisation),
                hashName(name), begin, count, out);
}

} // namespace qrt
