//===- Outliers.cpp - How unusual a loss or a norm is ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Outliers.h"

#include <cmath>
#include <limits>

using namespace qrt;

std::optional<double> OutlierWindow::score(double x) const {
  if (values.size() < kLeast)
    return std::nullopt;
  // Summed anew each time: running sums would depend on the whole history.
  double mean = 0, squares = 0;
  for (double value : values)
    mean += value;
  mean /= double(values.size());
  for (double value : values)
    squares += (value - mean) * (value - mean);
  double deviation = std::sqrt(squares / double(values.size()));
  if (!std::isfinite(x))
    return std::numeric_limits<double>::infinity();
  if (!(deviation > 0))
    return std::nullopt;
  return (x - mean) / deviation;
}

void OutlierWindow::add(double x) {
  if (!std::isfinite(x))
    return;
  if (values.size() == kLength)
    values.erase(values.begin());
  values.push_back(x);
}

void OutlierWindow::fromJson(const nlohmann::json &json) {
  values.clear();
  if (json.is_array())
    for (const nlohmann::json &value : json)
      if (value.is_number())
        add(value.get<double>());
}
