//===- Block.cpp - The part of a tensor that one rank holds ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/mesh/Block.h"

#include <algorithm>
#include <cstring>

using namespace qrt;

namespace {

int64_t product(const std::vector<int64_t> &sizes) {
  int64_t result = 1;
  for (int64_t size : sizes)
    result *= size;
  return result;
}

const std::vector<int> &axesOf(const ArgInfo &arg, size_t dim) {
  static const std::vector<int> none;
  return dim < arg.sharding.size() ? arg.sharding[dim] : none;
}

/// Into how many blocks an entry cuts each of its extents.
std::vector<int64_t> shardsOfExtents(const Mesh &mesh, const EntryInfo &entry) {
  std::vector<int64_t> shards(entry.extents.size(), 1);
  for (const ArgInfo &arg : entry.args)
    for (size_t d = 0; d < arg.shape.size(); ++d)
      if (int extent = arg.shape[d].extent; extent >= 0)
        shards[extent] = std::max(shards[extent], mesh.sizeOf(axesOf(arg, d)));
  return shards;
}

/// Walks over the rows of a block that are contiguous in both tensors.
class BlockWalk {
public:
  BlockWalk(const TensorBlock &block, int64_t elementBytes)
      : block(block), width(elementBytes), rank(block.size.size()) {
    // Trailing dimensions that are whole make one run with the one before.
    inner = rank;
    while (inner > 0 && block.size[inner - 1] == block.logical[inner - 1] &&
           block.begin[inner - 1] == 0)
      --inner;
    for (size_t d = inner; d < rank; ++d)
      runBytes *= block.size[d];
    runBytes *= width;
  }

  /// visit(offset in the whole tensor or -1 for padding, offset in the block,
  /// bytes); for padding the first offset is that of the nearest real row,
  /// given as -1 - offset.
  template <typename Visit> void each(Visit visit) const {
    walk(0, 0, 0, false, visit);
  }

private:
  template <typename Visit>
  void walk(size_t d, int64_t whole, int64_t local, bool padding,
            Visit &visit) const {
    if (d == inner) {
      int64_t at = whole * runBytes;
      visit(padding ? -1 - at : at, local * runBytes, runBytes);
      return;
    }
    for (int64_t i = 0; i < block.size[d]; ++i) {
      int64_t index = block.begin[d] + i, last = block.logical[d] - 1;
      walk(d + 1, whole * block.logical[d] + std::min(index, last),
           local * block.size[d] + i, padding || index > last, visit);
    }
  }

  const TensorBlock &block;
  int64_t width, runBytes = 1;
  size_t rank, inner;
};

} // namespace

int64_t TensorBlock::elements() const { return product(size); }
int64_t TensorBlock::logicalElements() const { return product(logical); }
bool TensorBlock::isWhole() const {
  return size == logical && std::all_of(begin.begin(), begin.end(),
                                        [](int64_t at) { return at == 0; });
}

Manifest qrt::logicalManifest(const Manifest &manifest) {
  Manifest result = manifest;
  Mesh mesh(manifest.meshAxes);
  for (EntryInfo &entry : result.entries) {
    std::vector<int64_t> shards = shardsOfExtents(mesh, entry);
    for (size_t i = 0; i < shards.size(); ++i)
      entry.extents[i].max *= shards[i];
    for (ArgInfo &arg : entry.args) {
      for (size_t d = 0; d < arg.shape.size(); ++d) {
        DimInfo &dim = arg.shape[d];
        dim.size = dim.extent >= 0 ? entry.extents[dim.extent].max
                                   : dim.size * mesh.sizeOf(axesOf(arg, d));
      }
      arg.sharding.clear();
      arg.partial.clear();
    }
  }
  return result;
}

std::vector<int64_t> qrt::localExtents(const Manifest &manifest,
                                       const EntryInfo &entry,
                                       const std::vector<int64_t> &logical) {
  std::vector<int64_t> shards = shardsOfExtents(Mesh(manifest.meshAxes), entry);
  std::vector<int64_t> local = logical;
  for (size_t i = 0; i < local.size(); ++i)
    if (shards[i] > 1)
      local[i] = std::min(local[i], entry.extents[i].max);
  return local;
}

TensorBlock qrt::blockOf(const Mesh &mesh, int rank, const EntryInfo &entry,
                         const ArgInfo &arg,
                         const std::vector<int64_t> &logical) {
  TensorBlock block;
  for (size_t d = 0; d < arg.shape.size(); ++d) {
    const DimInfo &dim = arg.shape[d];
    const std::vector<int> &axes = axesOf(arg, d);
    int64_t shards = mesh.sizeOf(axes), whole = dim.size * shards;
    int64_t size = dim.size;
    if (dim.extent >= 0) {
      whole = logical[dim.extent];
      // The largest of a block, also where another argument cuts the extent.
      size =
          shards > 1 ? std::min(whole, entry.extents[dim.extent].max) : whole;
    }
    block.logical.push_back(whole);
    block.size.push_back(size);
    block.begin.push_back(mesh.indexOn(rank, axes) * dim.size);
  }
  return block;
}

MatrixBlock qrt::matrixBlockOf(const Mesh &mesh, int rank, const ArgInfo &arg,
                               const ParameterInfo &parameter) {
  MatrixBlock block;
  const std::vector<int64_t> &shape = parameter.shape;
  int64_t rows = shape.empty() ? 1 : shape[0];
  int64_t cols = shape.size() > 1 ? shape[1] : 1;
  block.rows = rows / mesh.sizeOf(axesOf(arg, 0));
  block.cols = cols / mesh.sizeOf(axesOf(arg, 1));
  block.row = mesh.indexOn(rank, axesOf(arg, 0)) * block.rows;
  block.col = mesh.indexOn(rank, axesOf(arg, 1)) * block.cols;
  return block;
}

bool qrt::ownsBlock(const Mesh &mesh, int rank, const ArgInfo &arg) {
  std::vector<bool> used(mesh.axes().size(), false);
  for (const std::vector<int> &axes : arg.sharding)
    for (int axis : axes)
      used[axis] = true;
  for (int axis : arg.partial)
    used[axis] = true;
  for (size_t i = 0; i < used.size(); ++i)
    if (!used[i] && mesh.coordinate(rank, static_cast<int>(i)) != 0)
      return false;
  return true;
}

void qrt::takeBlock(const TensorBlock &block, const void *whole, void *to,
                    int64_t elementBytes, const void *padding) {
  const char *from = static_cast<const char *>(whole);
  char *out = static_cast<char *>(to);
  BlockWalk(block, elementBytes)
      .each([&](int64_t at, int64_t local, int64_t bytes) {
        bool isPadding = at < 0;
        if (isPadding && padding)
          for (int64_t i = 0; i < bytes; i += elementBytes)
            std::memcpy(out + local + i, padding, elementBytes);
        else
          std::memcpy(out + local, from + (isPadding ? -1 - at : at), bytes);
      });
}

void qrt::putBlock(const TensorBlock &block, const void *from, void *whole,
                   int64_t elementBytes) {
  const char *in = static_cast<const char *>(from);
  char *out = static_cast<char *>(whole);
  BlockWalk(block, elementBytes)
      .each([&](int64_t at, int64_t local, int64_t bytes) {
        if (at >= 0)
          std::memcpy(out + at, in + local, bytes);
      });
}
