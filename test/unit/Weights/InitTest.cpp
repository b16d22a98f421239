//===- InitTest.cpp - Tests of initial values -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Init.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <vector>

using namespace qrt;

namespace {

InitInfo normal(double mean = 0, double std = 1) {
  InitInfo init;
  init.kind = InitInfo::Kind::Normal;
  init.mean = mean;
  init.std = std;
  return init;
}

std::vector<float> values(const InitInfo &init, uint64_t seed, const char *name,
                          uint64_t begin, uint64_t count) {
  std::vector<float> out(count);
  initialValues(init, seed, name, begin, count, out.data());
  return out;
}

TEST(Philox, KnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  // The vectors published with the generator.
  EXPECT_EQ(Philox::rounds(0, {0, 0, 0, 0}),
            (Words{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(Philox::rounds(~uint64_t(0), {~0u, ~0u, ~0u, ~0u}),
            (Words{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(Philox::rounds(0x299F31D0A4093822u,
                           {0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}),
            (Words{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

TEST(Init, EveryRangeGivesTheSameValues) {
  std::vector<float> whole = values(normal(), 5, "w", 0, 5000);
  for (auto [begin, count] :
       {std::pair(0, 1), std::pair(1, 3), std::pair(511, 2),
        std::pair(512, 512), std::pair(700, 3000), std::pair(4999, 1),
        std::pair(37, 0)}) {
    std::vector<float> part =
        values(normal(), 5, "w", static_cast<uint64_t>(begin),
               static_cast<uint64_t>(count));
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + begin));
  }
  EXPECT_NE(whole, values(normal(), 6, "w", 0, 5000));
  EXPECT_NE(whole, values(normal(), 5, "v", 0, 5000));
}

TEST(Init, NormalsMatchTheLibraryFormula) {
  // Box and Muller on the same words with libm in long double.
  Philox random(9, RandomPurpose::Initialisation);
  std::vector<float> mine = values(normal(0.5, 2), 9, "w", 0, 40000);
  for (uint64_t i = 0; i < 40000; i += 2) {
    auto words = random(i / 4, hashName("w"));
    uint32_t a = words[i % 4], b = words[i % 4 + 1];
    long double r = sqrtl(-2 * logl((a + 1.0L) / 4294967296.0L));
    long double angle = 2 * M_PIl * (b / 4294967296.0L);
    float x = static_cast<float>(0.5L + 2 * r * cosl(angle));
    float y = static_cast<float>(0.5L + 2 * r * sinl(angle));
    EXPECT_NEAR(mine[i], x, 1e-6) << i;
    EXPECT_NEAR(mine[i + 1], y, 1e-6) << i;
  }
}

TEST(Init, Moments) {
  std::vector<float> v = values(normal(0.1, 0.02), 1, "w", 0, 1000000);
  double mean = 0, variance = 0;
  for (float x : v)
    mean += x;
  mean /= 1e6;
  for (float x : v)
    variance += (x - mean) * (x - mean);
  EXPECT_NEAR(mean, 0.1, 1e-4);
  EXPECT_NEAR(std::sqrt(variance / 1e6), 0.02, 5e-5);

  InitInfo uniform;
  uniform.kind = InitInfo::Kind::Uniform;
  uniform.low = -0.5;
  uniform.high = 1.5;
  v = values(uniform, 1, "w", 0, 1000000);
  mean = 0;
  for (float x : v)
    mean += x;
  EXPECT_NEAR(mean / 1e6, 0.5, 2e-3);
  EXPECT_GE(*std::min_element(v.begin(), v.end()), -0.5f);
  EXPECT_LE(*std::max_element(v.begin(), v.end()), 1.5f);
}

TEST(Init, Constants) {
  InitInfo init;
  EXPECT_EQ(values(init, 0, "w", 3, 2), (std::vector<float>{0, 0}));
  init.kind = InitInfo::Kind::Ones;
  EXPECT_EQ(values(init, 0, "w", 3, 2), (std::vector<float>{1, 1}));
  init.kind = InitInfo::Kind::Constant;
  init.value = 0.25;
  EXPECT_EQ(values(init, 0, "w", 3, 2), (std::vector<float>{0.25f, 0.25f}));
}

TEST(Init, BitsAreFixed) {
  // A change here changes every run that begins from a seed.
  std::vector<float> v = values(normal(0, 0.02), 42, "model.norm.weight", 0, 4);
  std::vector<uint32_t> bits(4);
  std::memcpy(bits.data(), v.data(), 16);
  EXPECT_EQ(bits, (std::vector<uint32_t>{1024785798, 1018900276, 1027297837,
                                         1017565578}));
}

} // namespace
