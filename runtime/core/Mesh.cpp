//===- Mesh.cpp - How the ranks of a job are arranged ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Mesh.h"

#include <fmt/ranges.h>

using namespace qrt;

int Mesh::ranks() const {
  int64_t product = 1;
  for (const MeshAxisInfo &axis : subAxes)
    product *= axis.size;
  return static_cast<int>(product);
}

uint64_t Mesh::allAxes() const {
  return subAxes.size() >= 64 ? ~uint64_t(0)
                              : (uint64_t(1) << subAxes.size()) - 1;
}

int64_t Mesh::coordinate(int rank, int axis) const {
  int64_t minor = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < subAxes.size(); ++i)
    minor *= subAxes[i].size;
  return rank / minor % subAxes[axis].size;
}

int64_t Mesh::indexOn(int rank, const std::vector<int> &axes) const {
  int64_t index = 0;
  for (int axis : axes)
    index = index * subAxes[axis].size + coordinate(rank, axis);
  return index;
}

int64_t Mesh::sizeOf(const std::vector<int> &axes) const {
  int64_t product = 1;
  for (int axis : axes)
    product *= subAxes[axis].size;
  return product;
}

RankGroup Mesh::group(int rank, uint64_t axes) const {
  RankGroup group;
  for (int other = 0, n = ranks(); other < n; ++other) {
    bool same = true;
    for (size_t i = 0; same && i < subAxes.size(); ++i)
      if (!(axes >> i & 1))
        same = coordinate(rank, static_cast<int>(i)) ==
               coordinate(other, static_cast<int>(i));
    if (!same)
      continue;
    if (other == rank)
      group.index = group.size();
    group.ranks.push_back(other);
  }
  return group;
}

std::string Mesh::str() const {
  std::string text;
  for (size_t i = 0; i < subAxes.size();) {
    int64_t size = 1;
    const std::string &name = subAxes[i].axis;
    for (; i < subAxes.size() && subAxes[i].axis == name; ++i)
      size *= subAxes[i].size;
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", name, size);
  }
  return text.empty() ? "1" : text;
}

std::string Mesh::describe(uint64_t axes) const {
  std::vector<std::string> parts;
  for (size_t i = 0; i < subAxes.size();) {
    const std::string &name = subAxes[i].axis;
    std::vector<size_t> chosen;
    size_t first = i;
    for (; i < subAxes.size() && subAxes[i].axis == name; ++i)
      if (axes >> i & 1)
        chosen.push_back(i - first);
    if (chosen.size() == i - first)
      parts.push_back(name);
    else if (!chosen.empty())
      parts.push_back(fmt::format("{}[{}]", name, fmt::join(chosen, ",")));
  }
  return parts.empty() ? "no axis" : fmt::format("{}", fmt::join(parts, ","));
}
