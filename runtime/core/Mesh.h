//===- Mesh.h - How the ranks of a job are arranged -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A mesh is a list of prime sub-axes, major first: a rank's coordinates are the
// digits of its number in that mixed radix. Every set of sub-axes is a bit mask
// and cuts the ranks into groups that differ in those coordinates only.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_MESH_H
#define QWEN_RUNTIME_CORE_MESH_H

#include "runtime/core/Manifest.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qrt {

/// The ranks that take part in a collective.
struct RankGroup {
  std::vector<int> ranks; ///< ascending: the order of sums and of blocks
  int index = 0;          ///< which of them this rank is

  int size() const { return static_cast<int>(ranks.size()); }
};

class Mesh {
public:
  /// A mesh of one rank.
  Mesh() = default;
  explicit Mesh(std::vector<MeshAxisInfo> axes) : subAxes(std::move(axes)) {}

  int ranks() const;
  const std::vector<MeshAxisInfo> &axes() const { return subAxes; }
  /// The mask of all sub-axes.
  uint64_t allAxes() const;
  /// Whether the mask names only sub-axes that exist.
  bool has(uint64_t axes) const { return (axes & ~allAxes()) == 0; }

  /// The coordinate of `rank` on sub-axis `axis`.
  int64_t coordinate(int rank, int axis) const;
  /// The digits of `rank` on a list of sub-axes, major first, as one number.
  int64_t indexOn(int rank, const std::vector<int> &axes) const;
  /// The product of the sizes of a list of sub-axes.
  int64_t sizeOf(const std::vector<int> &axes) const;
  /// The group of `rank` over a mask of sub-axes.
  RankGroup group(int rank, uint64_t axes) const;

  /// "data=2,tensor=4": axes with the product of their sub-axes.
  std::string str() const;
  /// "data,tensor[1,2]": the axes of a mask; sub-axes are numbered within
  /// their axis where the mask has not all of them.
  std::string describe(uint64_t axes) const;

private:
  std::vector<MeshAxisInfo> subAxes;
};

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_MESH_H
