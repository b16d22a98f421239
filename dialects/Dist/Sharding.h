//===- Sharding.h - How a tensor lies on a mesh -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_DIALECTS_DIST_SHARDING_H
#define QWEN_DIALECTS_DIST_SHARDING_H

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/SmallVector.h"

#include <string>
#include <vector>

namespace qwen::dist {

/// Sub-axes by number, major first.
using Axes = llvm::SmallVector<int64_t, 5>;

/// How a tensor of the program is cut and copied. Sub-axes that no dimension
/// names hold copies; over those in `partial` the devices hold summands (or,
/// with `isMax`, candidates for the largest).
struct Sharding {
  llvm::SmallVector<Axes, 4> dims;
  Axes partial;
  bool isMax = false;

  Sharding() = default;
  /// Copies everywhere.
  explicit Sharding(int64_t rank) : dims(rank) {}

  bool operator==(const Sharding &other) const {
    return dims == other.dims && partial == other.partial &&
           (partial.empty() || isMax == other.isMax);
  }
  bool operator!=(const Sharding &other) const { return !(*this == other); }
  /// Copies of the whole tensor on every device.
  bool isReplicated() const;
  /// Whether a dimension or the partial axes name `axis`.
  bool uses(int64_t axis) const;
  Sharding withoutPartial() const;
  std::string str() const;
};

/// The prime sub-axes of a mesh, major first: rank is their mixed radix.
struct SubAxis {
  std::string axis; // of the mesh
  int64_t size;
};
using SubAxes = std::vector<SubAxis>;

/// The product of the sizes of `axes`.
int64_t numParts(llvm::ArrayRef<int64_t> axes, const SubAxes &mesh);
/// All devices.
int64_t numDevices(const SubAxes &mesh);
/// The digits of `rank`.
llvm::SmallVector<int64_t> coordinatesOf(int64_t rank, const SubAxes &mesh);
/// A device's place along `axes`: their mixed radix, first axis major.
int64_t placeAlong(llvm::ArrayRef<int64_t> axes,
                   llvm::ArrayRef<int64_t> coordinates, const SubAxes &mesh);
/// The longest prefix of `axes` whose number of parts divides `size`.
Axes dividingPrefix(llvm::ArrayRef<int64_t> axes, int64_t size,
                    const SubAxes &mesh);
/// What one device holds of a tensor of type `global`; null if a dimension does
/// not divide.
mlir::RankedTensorType localType(mlir::RankedTensorType global,
                                 const Sharding &sharding, const SubAxes &mesh);

} // namespace qwen::dist

#endif // QWEN_DIALECTS_DIST_SHARDING_H
