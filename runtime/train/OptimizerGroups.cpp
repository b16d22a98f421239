//===- OptimizerGroups.cpp - What the optimizer step is given -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/OptimizerGroups.h"

#include <algorithm>
#include <cmath>

using namespace qrt;

/// Momentum grows to its value over the first steps.
static double momentumAt(const MuonDefaults &muon, int64_t step) {
  if (step > muon.momentumWarmup)
    return muon.momentum;
  double part = double(step - 1) / double(muon.momentumWarmup);
  return muon.momentumStart + part * (muon.momentum - muon.momentumStart);
}

std::vector<float> qrt::hyperParameters(const OptimizerDefaults &optimizer,
                                        int64_t groups, double lr,
                                        int64_t step) {
  std::vector<float> hyper(groups * 8);
  double t = double(step);
  for (int64_t g = 0; g < groups; ++g) {
    OptimizerGroupDefaults group;
    if (g < int64_t(optimizer.groups.size()))
      group = optimizer.groups[g];
    double values[8];
    if (group.muon) {
      const MuonDefaults &muon = optimizer.muon;
      double part = optimizer.lr > 0 ? lr / optimizer.lr : 0;
      values[0] = muon.lr * part * group.lrScale;
      values[1] = momentumAt(muon, step);
      values[2] = 0;
      values[3] = group.eps.value_or(muon.eps);
      values[4] = group.weightDecay.value_or(muon.weightDecay);
      values[6] = values[7] = 1;
    } else {
      auto [beta1, beta2] =
          group.betas.value_or(std::pair(optimizer.beta1, optimizer.beta2));
      values[0] = lr * group.lrScale;
      values[1] = beta1;
      values[2] = beta2;
      values[3] = group.eps.value_or(optimizer.eps);
      values[4] = group.weightDecay.value_or(optimizer.weightDecay);
      values[6] = 1 - std::pow(beta1, t);
      values[7] = 1 - std::pow(beta2, t);
    }
    values[5] = optimizer.clip;
    std::transform(values, values + 8, hyper.begin() + g * 8,
                   [](double value) { return static_cast<float>(value); });
  }
  return hyper;
}
