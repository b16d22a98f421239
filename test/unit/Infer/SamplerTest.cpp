//===- SamplerTest.cpp - Tests of sampling ------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/infer/Sampler.h"

#include <cmath>
#include <limits>
#include <map>

#include <gtest/gtest.h>

using namespace qrt;

namespace {

/// How often each id comes up at `count` positions.
std::map<int32_t, int> draw(const SamplingOptions &options,
                            const std::vector<float> &logits, int count,
                            int64_t tokenCount = 1 << 20) {
  Sampler sampler(options, tokenCount);
  std::map<int32_t, int> seen;
  for (int i = 0; i < count; ++i) {
    auto id = sampler.sample(logits.data(), logits.size(), i);
    EXPECT_TRUE(id);
    ++seen[*id];
  }
  return seen;
}

const std::vector<float> kLogits = {std::log(0.5f), std::log(0.3f),
                                    std::log(0.15f), std::log(0.05f)};

TEST(Sampler, ZeroIsGreedyAndTiesGoToTheLowerId) {
  SamplingOptions options;
  options.temperature = 0;
  EXPECT_EQ(draw(options, {1, 3, 3, 2}, 5), (std::map<int32_t, int>{{1, 5}}));
}

TEST(Sampler, FollowsTheDistribution) {
  SamplingOptions options;
  options.seed = 11;
  constexpr int kDraws = 40000;
  auto seen = draw(options, kLogits, kDraws);
  const double expected[] = {0.5, 0.3, 0.15, 0.05};
  for (int id = 0; id < 4; ++id)
    EXPECT_NEAR(seen[id] / double(kDraws), expected[id], 0.01) << id;
}

TEST(Sampler, TemperatureSharpens) {
  SamplingOptions options;
  options.temperature = 0.5;
  constexpr int kDraws = 20000;
  auto seen = draw(options, kLogits, kDraws);
  // Probabilities are squared: 0.25 of 0.365.
  EXPECT_NEAR(seen[0] / double(kDraws), 0.25 / 0.365, 0.015);
}

TEST(Sampler, FiltersKeepWhatTheySay) {
  SamplingOptions topK;
  topK.topK = 2;
  EXPECT_EQ(draw(topK, kLogits, 3000).size(), 2u);
  SamplingOptions topP;
  topP.topP = 0.79;
  EXPECT_EQ(draw(topP, kLogits, 3000).size(), 2u);
  topP.topP = 0.81;
  EXPECT_EQ(draw(topP, kLogits, 3000).size(), 3u);
  topP.topP = 0;
  EXPECT_EQ(draw(topP, kLogits, 100).size(), 1u);
  SamplingOptions minP;
  minP.minP = 0.25; // of 0.5: ids from 0.125
  EXPECT_EQ(draw(minP, kLogits, 3000).size(), 3u);
}

TEST(Sampler, TopPFindsItsSetInALargeVocabulary) {
  std::vector<float> logits(50000, 0.0f);
  SamplingOptions options;
  options.topP = 0.5;
  auto seen = draw(options, logits, 100);
  // Equal logits: the lower half of the ids, by the order of ties.
  EXPECT_LT(seen.rbegin()->first, 25001);
  EXPECT_GT(seen.rbegin()->first, 15000);
}

TEST(Sampler, IdsWithoutTokenAreNeverChosen) {
  SamplingOptions options;
  std::vector<float> logits = {0, 0, 100, 100};
  for (const auto &[id, count] : draw(options, logits, 500, 2))
    EXPECT_LT(id, 2);
  Sampler holes(options, 4, {true, false, true, false});
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(*holes.sample(std::vector<float>{-50, 9, 0, 9}.data(), 4, i), 2);
}

TEST(Sampler, PenaltyPushesRepeatedTokensDown) {
  SamplingOptions options;
  options.temperature = 0;
  options.repetitionPenalty = 2;
  Sampler sampler(options, 4);
  std::vector<float> logits = {3, 2, -1, -1.5f};
  EXPECT_EQ(*sampler.sample(logits.data(), 4, 0), 0);
  sampler.accept(0);
  EXPECT_EQ(*sampler.sample(logits.data(), 4, 1), 1);
  // Negative logits are multiplied, so they fall too.
  std::vector<float> negative = {-10, -10, -1, -1.5f};
  sampler.accept(2);
  EXPECT_EQ(*sampler.sample(negative.data(), 4, 2), 3);
}

TEST(Sampler, DependsOnSeedRequestAndPositionOnly) {
  SamplingOptions options;
  options.seed = 5;
  std::vector<float> logits(100, 0.0f);
  Sampler a(options, 100), b(options, 100), other(options, 100, {}, 1);
  bool differs = false;
  for (int i = 9; i >= 0; --i) {
    int32_t id = *a.sample(logits.data(), 100, i);
    EXPECT_EQ(id, *b.sample(logits.data(), 100, i));
    differs |= id != *other.sample(logits.data(), 100, i);
  }
  EXPECT_TRUE(differs);
  EXPECT_EQ(*a.sample(logits.data(), 100, 3), *b.sample(logits.data(), 100, 3));
}

TEST(Sampler, BadNumbersAreErrors) {
  float nan = std::numeric_limits<float>::quiet_NaN();
  float infinity = std::numeric_limits<float>::infinity();
  SamplingOptions options;
  Sampler sampler(options, 4);
  EXPECT_FALSE(sampler.sample(std::vector<float>{0, nan, 1}.data(), 3, 0));
  EXPECT_FALSE(
      sampler.sample(std::vector<float>{-infinity, -infinity}.data(), 2, 0));
  // Single masked tokens are fine.
  EXPECT_EQ(*sampler.sample(std::vector<float>{-infinity, 1}.data(), 2, 0), 1);
  options.topP = 1.5;
  EXPECT_FALSE(options.check());
  options.topP = 1;
  options.temperature = nan;
  EXPECT_FALSE(options.check());
}

} // namespace
