//===- ScheduleTest.cpp - Tests of learning rates -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Schedule.h"

#include <cmath>

#include <gtest/gtest.h>

using namespace qrt;

namespace {

Schedule make(Schedule::Kind kind, int64_t warmup, int64_t total) {
  Schedule schedule;
  schedule.kind = kind;
  schedule.lr = 1;
  schedule.minLr = 0.1;
  schedule.warmup = warmup;
  schedule.total = total;
  return schedule;
}

TEST(Schedule, CosineAtItsEdges) {
  Schedule schedule = make(Schedule::Kind::Cosine, 4, 12);
  EXPECT_EQ(schedule.at(0), 0.25);
  EXPECT_EQ(schedule.at(3), 1.0);
  EXPECT_EQ(schedule.at(4), 1.0);
  EXPECT_DOUBLE_EQ(schedule.at(8), 0.55);
  EXPECT_DOUBLE_EQ(schedule.at(11),
                   0.1 + 0.45 * (1 + std::cos(3.14159265358979323846 * 7 / 8)));
  EXPECT_DOUBLE_EQ(schedule.at(12), 0.1);
  EXPECT_DOUBLE_EQ(schedule.at(1000), 0.1);
}

TEST(Schedule, WithoutAndWithOnlyWarmup) {
  for (auto kind : {Schedule::Kind::Cosine, Schedule::Kind::Linear,
                    Schedule::Kind::Constant, Schedule::Kind::Wsd,
                    Schedule::Kind::Trapezoid}) {
    EXPECT_EQ(make(kind, 0, 10).at(0), 1.0);
    Schedule warm = make(kind, 10, 10);
    EXPECT_EQ(warm.at(9), 1.0);
    EXPECT_TRUE(std::isfinite(warm.at(10)));
    // A warmup longer than the run never reaches the full rate.
    EXPECT_EQ(make(kind, 100, 10).at(9), 0.1);
  }
}

TEST(Schedule, LinearConstantAndWsd) {
  EXPECT_DOUBLE_EQ(make(Schedule::Kind::Linear, 0, 10).at(5), 0.55);
  EXPECT_EQ(make(Schedule::Kind::Constant, 2, 10).at(9), 1.0);
  Schedule wsd = make(Schedule::Kind::Wsd, 0, 100);
  EXPECT_EQ(wsd.at(79), 1.0);
  EXPECT_EQ(wsd.at(80), 1.0);
  EXPECT_DOUBLE_EQ(wsd.at(85), 0.1 + 0.5 * 0.9);
  EXPECT_DOUBLE_EQ(wsd.at(100), 0.1);
}

TEST(Schedule, TrapezoidAndTheLengthOfTheDecay) {
  Schedule trapezoid = make(Schedule::Kind::Trapezoid, 10, 100);
  EXPECT_DOUBLE_EQ(trapezoid.at(4), 0.5);
  EXPECT_EQ(trapezoid.at(80), 1.0);
  EXPECT_DOUBLE_EQ(trapezoid.at(90), 0.1 + 0.5 * 0.9);
  EXPECT_DOUBLE_EQ(trapezoid.at(99), 0.1 + 0.05 * 0.9);
  EXPECT_DOUBLE_EQ(trapezoid.at(100), 0.1);
  trapezoid.decay = 0.5;
  EXPECT_EQ(trapezoid.at(50), 1.0);
  EXPECT_DOUBLE_EQ(trapezoid.at(75), 0.55);
  // Nothing decays; and the warmup is not cut short by a long decay.
  trapezoid.decay = 0;
  EXPECT_EQ(trapezoid.at(99), 1.0);
  trapezoid.decay = 1;
  EXPECT_EQ(trapezoid.at(9), 1.0);
  EXPECT_EQ(trapezoid.at(10), 1.0);
  EXPECT_DOUBLE_EQ(trapezoid.at(55), 0.55);
}

TEST(Schedule, UnknownKindNamesTheNearest) {
  auto kind = Schedule::parseKind("cosin");
  ASSERT_FALSE(kind);
  EXPECT_NE(kind.error().message.find("did you mean 'cosine'"),
            std::string::npos);
}

} // namespace
