//===- Suggest.cpp - The nearest valid name -------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Suggest.h"

#include <algorithm>
#include <limits>

using namespace qrt;

size_t qrt::editDistance(std::string_view a, std::string_view b) {
  constexpr size_t kLongest = 128;
  if (a.size() > kLongest || b.size() > kLongest)
    return std::numeric_limits<size_t>::max();
  std::vector<size_t> before(b.size() + 1), previous(b.size() + 1),
      current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
      current[j] = std::min(
          {previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before[j - 2] + 1);
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

std::string qrt::nearestName(std::string_view name,
                             const std::vector<std::string> &candidates) {
  // A third of the letters may differ; short flags are never guessed.
  size_t best = std::max<size_t>(1, name.size() / 3) + 1;
  std::string result;
  for (const std::string &candidate : candidates) {
    if (candidate.size() < 3)
      continue;
    size_t distance = editDistance(name, candidate);
    if (distance < best) {
      best = distance;
      result = candidate;
    }
  }
  return result;
}

std::string qrt::didYouMean(std::string_view name,
                            const std::vector<std::string> &candidates) {
  std::string nearest = nearestName(name, candidates);
  return nearest.empty() ? "" : "; did you mean '" + nearest + "'?";
}
