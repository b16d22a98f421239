//===- OptimizerGroupsTest.cpp - Tests of the optimizer's input ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/OptimizerGroups.h"

#include <cmath>

#include <gtest/gtest.h>

using namespace qrt;

namespace {

/// Decayed, not decayed, a group of its own, Muon, Muon with less of it.
OptimizerDefaults five() {
  OptimizerDefaults o;
  o.kind = "muon";
  o.lr = 1e-3;
  o.beta1 = 0.9;
  o.beta2 = 0.95;
  o.eps = 1e-8;
  o.weightDecay = 0.1;
  o.clip = 1;
  o.muon.lr = 0.02;
  o.muon.momentum = 0.95;
  o.muon.momentumStart = 0.85;
  o.muon.eps = 1e-7;
  o.muon.weightDecay = 0.01;
  o.muon.scale = "shape_scaling";
  o.groups.resize(5);
  o.groups[1].weightDecay = 0;
  o.groups[2].lrScale = 2;
  o.groups[2].betas = {0.8, 0.99};
  o.groups[2].eps = 1e-10;
  o.groups[3].muon = true;
  o.groups[4].muon = true;
  o.groups[4].lrScale = 0.5;
  o.groups[4].weightDecay = 0.3;
  return o;
}

void expectRow(const std::vector<float> &hyper, int64_t group,
               std::vector<double> values) {
  for (size_t i = 0; i < 8; ++i)
    EXPECT_EQ(hyper[group * 8 + i], float(values[i])) << group << ", " << i;
}

TEST(OptimizerGroups, RowsOfBothKinds) {
  OptimizerDefaults o = five();
  auto hyper = hyperParameters(o, 5, 5e-4, 3);
  ASSERT_EQ(hyper.size(), 40u);
  double c1 = 1 - std::pow(0.9, 3), c2 = 1 - std::pow(0.95, 3);
  expectRow(hyper, 0, {5e-4, 0.9, 0.95, 1e-8, 0.1, 1, c1, c2});
  expectRow(hyper, 1, {5e-4, 0.9, 0.95, 1e-8, 0, 1, c1, c2});
  expectRow(hyper, 2,
            {1e-3, 0.8, 0.99, 1e-10, 0.1, 1, 1 - std::pow(0.8, 3),
             1 - std::pow(0.99, 3)});
  expectRow(hyper, 3, {0.01, 0.95, 0, 1e-7, 0.01, 1, 1, 1});
  expectRow(hyper, 4, {0.005, 0.95, 0, 1e-7, 0.3, 1, 1, 1});
}

TEST(OptimizerGroups, MomentumWarmsUp) {
  OptimizerDefaults o = five();
  o.muon.momentumWarmup = 10;
  EXPECT_EQ(hyperParameters(o, 5, 1e-3, 1)[25], 0.85f);
  EXPECT_EQ(hyperParameters(o, 5, 1e-3, 6)[25], 0.9f);
  EXPECT_EQ(hyperParameters(o, 5, 1e-3, 11)[25], 0.95f);
  EXPECT_EQ(hyperParameters(o, 5, 1e-3, 1000)[25], 0.95f);
}

TEST(OptimizerGroups, WithoutALearningRateNothingMoves) {
  OptimizerDefaults o = five();
  o.lr = 0;
  EXPECT_EQ(hyperParameters(o, 5, 0, 1)[24], 0.0f);
}

} // namespace
