//===- Block.h - The part of a tensor that one rank holds -------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// runtime/abi/manifest.md describes shardings. Extents that a sharding cuts are
// filled in order: the block of a rank begins at its index times the block's
// largest size, so that a row stays with its rank whatever the number of rows.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_MESH_BLOCK_H
#define QWEN_RUNTIME_MESH_BLOCK_H

#include "runtime/core/Manifest.h"
#include "runtime/core/Mesh.h"
#include "runtime/weights/ViewRegion.h"

#include <cstdint>
#include <vector>

namespace qrt {

/// A block of a tensor. What lies beyond the logical size is padding.
struct TensorBlock {
  std::vector<int64_t> logical; ///< sizes of the whole tensor
  std::vector<int64_t> begin, size;

  int64_t elements() const;
  int64_t logicalElements() const;
  bool isWhole() const;
};

/// The module's manifest with entries as a program for one device would have
/// them: logical shapes, and the largest logical extents. (Arguments keep their
/// slots; their shardings are gone.)
Manifest logicalManifest(const Manifest &manifest);

/// The extents that the devices run with, for extents of the logical tensors.
std::vector<int64_t> localExtents(const Manifest &manifest,
                                  const EntryInfo &entry,
                                  const std::vector<int64_t> &logical);

/// The block of an argument on one rank.
TensorBlock blockOf(const Mesh &mesh, int rank, const EntryInfo &entry,
                    const ArgInfo &arg, const std::vector<int64_t> &logical);

/// The block of (one layer of) a state on one rank.
MatrixBlock matrixBlockOf(const Mesh &mesh, int rank, const ArgInfo &arg,
                          const ParameterInfo &parameter);

/// Whether a rank is the first of those that hold the same values of a state.
bool ownsBlock(const Mesh &mesh, int rank, const ArgInfo &arg);

/// Copies a block out of the whole tensor. Padding repeats the last row; or,
/// with `padding`, is filled with this value (of `elementBytes` bytes).
void takeBlock(const TensorBlock &block, const void *whole, void *to,
               int64_t elementBytes, const void *padding = nullptr);

/// Copies a block into the whole tensor, without its padding.
void putBlock(const TensorBlock &block, const void *from, void *whole,
              int64_t elementBytes);

} // namespace qrt

#endif // QWEN_RUNTIME_MESH_BLOCK_H
