//===- Schedule.cpp - The learning rate of every step ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Schedule.h"
#include "runtime/core/Suggest.h"

#include <algorithm>
#include <cmath>
#include <fmt/ranges.h>

using namespace qrt;

double Schedule::at(int64_t step) const {
  if (step < warmup)
    return lr * double(step + 1) / double(warmup);
  auto decayed = [&](int64_t begin) {
    return std::clamp(double(step - begin) /
                          double(std::max<int64_t>(total - begin, 1)),
                      0.0, 1.0);
  };
  switch (kind) {
  case Kind::Cosine:
    return minLr +
           0.5 * (1 + std::cos(3.14159265358979323846 * decayed(warmup))) *
               (lr - minLr);
  case Kind::Linear:
    return minLr + (1 - decayed(warmup)) * (lr - minLr);
  case Kind::Constant:
    return lr;
  case Kind::Wsd:
  case Kind::Trapezoid: {
    auto length = static_cast<int64_t>(std::floor(double(total) * decay));
    int64_t begin = std::max(warmup, total - length);
    if (step < begin || length == 0)
      return lr;
    double q = decayed(begin);
    return minLr + (1 - (kind == Kind::Wsd ? std::sqrt(q) : q)) * (lr - minLr);
  }
  }
  return lr;
}

const std::vector<std::string> &Schedule::kinds() {
  static const std::vector<std::string> names = {"cosine", "linear", "constant",
                                                 "wsd", "trapezoid"};
  return names;
}

Expected<Schedule::Kind> Schedule::parseKind(const std::string &name) {
  for (size_t i = 0; i < kinds().size(); ++i)
    if (kinds()[i] == name)
      return static_cast<Kind>(i);
  return makeError(8003, "", "unknown schedule '{}' (there are {}){}", name,
                   fmt::join(kinds(), ", "), didYouMean(name, kinds()));
}
