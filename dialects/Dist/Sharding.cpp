//===- Sharding.cpp - How a tensor lies on a mesh -------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Dist/Sharding.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace qwen;
using namespace qwen::dist;

bool Sharding::isReplicated() const {
  return partial.empty() &&
         llvm::all_of(dims, [](const Axes &axes) { return axes.empty(); });
}

bool Sharding::uses(int64_t axis) const {
  return llvm::is_contained(partial, axis) ||
         llvm::any_of(dims, [&](const Axes &axes) {
           return llvm::is_contained(axes, axis);
         });
}

Sharding Sharding::withoutPartial() const {
  Sharding result = *this;
  result.partial.clear();
  result.isMax = false;
  return result;
}

std::string Sharding::str() const {
  std::string text;
  llvm::raw_string_ostream os(text);
  auto list = [&](const Axes &axes) {
    os << '[';
    llvm::interleaveComma(axes, os);
    os << ']';
  };
  os << '[';
  llvm::interleaveComma(dims, os, list);
  os << ']';
  if (!partial.empty()) {
    os << (isMax ? " max " : " sum ");
    list(partial);
  }
  return text;
}

int64_t dist::numParts(llvm::ArrayRef<int64_t> axes, const SubAxes &mesh) {
  int64_t parts = 1;
  for (int64_t axis : axes)
    parts *= mesh[axis].size;
  return parts;
}

int64_t dist::numDevices(const SubAxes &mesh) {
  int64_t devices = 1;
  for (const SubAxis &axis : mesh)
    devices *= axis.size;
  return devices;
}

llvm::SmallVector<int64_t> dist::coordinatesOf(int64_t rank,
                                               const SubAxes &mesh) {
  llvm::SmallVector<int64_t> digits(mesh.size());
  for (size_t i = mesh.size(); i-- > 0;) {
    digits[i] = rank % mesh[i].size;
    rank /= mesh[i].size;
  }
  return digits;
}

int64_t dist::placeAlong(llvm::ArrayRef<int64_t> axes,
                         llvm::ArrayRef<int64_t> coordinates,
                         const SubAxes &mesh) {
  int64_t place = 0;
  for (int64_t axis : axes)
    place = place * mesh[axis].size + coordinates[axis];
  return place;
}

Axes dist::dividingPrefix(llvm::ArrayRef<int64_t> axes, int64_t size,
                          const SubAxes &mesh) {
  Axes prefix;
  for (int64_t axis : axes) {
    if (size % mesh[axis].size)
      break;
    size /= mesh[axis].size;
    prefix.push_back(axis);
  }
  return prefix;
}

mlir::RankedTensorType dist::localType(mlir::RankedTensorType global,
                                       const Sharding &sharding,
                                       const SubAxes &mesh) {
  llvm::SmallVector<int64_t> shape(global.getShape());
  for (auto [size, axes] : llvm::zip(shape, sharding.dims)) {
    int64_t parts = numParts(axes, mesh);
    if (size % parts)
      return nullptr;
    size /= parts;
  }
  return mlir::RankedTensorType::get(shape, global.getElementType());
}
