//===- ViewRegion.cpp - Where a parameter lies in a file tensor -----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/ViewRegion.h"
#include "runtime/weights/Convert.h"
#include "runtime/weights/Printable.h"

#include <algorithm>

namespace qrt {

Expected<ViewRegion> ViewRegion::make(const ParameterInfo &parameter,
                                      const FileView &view) {
  auto fail = [&](const std::string &why) {
    return makeError(3024, "",
                     "parameter '{}' {} does not fit its place in '{}' {}: {}",
                     parameter.name, shapeText(parameter.shape), view.name,
                     shapeText(view.fileShape), why);
  };
  size_t rank = parameter.shape.size();
  if (rank < 1 || rank > 2 || view.fileShape.size() != rank)
    return fail("both must have one or two dimensions, and equally many");
  bool isVector = rank == 1;
  ViewRegion r;
  int64_t out = parameter.shape[0];
  r.in = isVector ? 1 : parameter.shape[1];
  r.transpose = view.transpose && !isVector;
  r.numRows = r.transpose ? r.in : out;
  r.numCols = r.transpose ? out : r.in;
  r.fileRows = view.fileShape[0];
  r.fileCols = isVector ? 1 : view.fileShape[1];
  int64_t axis = -1;
  if (view.slice) {
    auto [sliceAxis, begin] = *view.slice;
    axis = sliceAxis;
    if (axis < 0 || axis >= static_cast<int64_t>(rank) || begin < 0)
      return fail("the slice does not exist");
    (axis == 0 ? r.firstRow : r.firstCol) = begin;
  }
  if (axis == 0 ? r.firstRow > r.fileRows - r.numRows : r.fileRows != r.numRows)
    return fail("the first dimension differs");
  if (axis == 1 ? r.firstCol > r.fileCols - r.numCols : r.fileCols != r.numCols)
    return fail("the second dimension differs");
  if (view.permuteHeads) {
    int64_t heads = *view.permuteHeads;
    if (heads <= 0 || out % heads != 0 || (out / heads) % 2 != 0)
      return fail(fmt::format("its rows are not {} heads of even size", heads));
    r.headRows = out / heads;
  }
  return r;
}

std::vector<RegionPiece> ViewRegion::piecesOf(const MatrixBlock &block) const {
  ViewRegion r = *this;
  r.in = block.cols;
  // Logical columns are the file's columns, or its rows when it is transposed.
  (transpose ? r.firstRow : r.firstCol) += block.col;
  (transpose ? r.numRows : r.numCols) = block.cols;
  int64_t &first = transpose ? r.firstCol : r.firstRow;
  int64_t &count = transpose ? r.numCols : r.numRows;
  if (headRows == 0 ||
      (block.row % headRows == 0 && block.rows % headRows == 0)) {
    first += block.row;
    count = block.rows;
    return {{r, 0}};
  }
  std::vector<RegionPiece> pieces;
  int64_t begin = first, all = transpose ? numCols : numRows;
  r.headRows = 0;
  count = 1;
  for (int64_t row = 0; row < all; ++row) {
    int64_t at = logicalRow(row) - block.row;
    if (at < 0 || at >= block.rows)
      continue;
    first = begin + row;
    pieces.push_back({r, at * block.cols});
  }
  return pieces;
}

namespace {

inline void put(float value, float &to) { to = value; }
inline void put(float value, uint16_t &to) { to = f32ToBf16(value); }
inline float get(float value) { return value; }
inline float get(uint16_t value) { return bf16ToF32(value); }

} // namespace

template <typename T>
void ViewRegion::scatter(int64_t begin, int64_t end, const float *block,
                         int64_t stride, T *logical) const {
  if (!transpose) {
    for (int64_t row = begin; row < end; ++row) {
      T *to = logical + logicalRow(row) * in;
      const float *from = block + (row - begin) * stride;
      for (int64_t col = 0; col < numCols; ++col)
        put(from[col], to[col]);
    }
    return;
  }
  for (int64_t col = 0; col < numCols; ++col) {
    T *to = logical + logicalRow(col) * in;
    for (int64_t row = begin; row < end; ++row)
      put(block[(row - begin) * stride + col], to[row]);
  }
}

template <typename T>
void ViewRegion::gather(int64_t begin, int64_t end, const T *logical,
                        float *block, int64_t stride) const {
  if (!transpose) {
    for (int64_t row = begin; row < end; ++row) {
      const T *from = logical + logicalRow(row) * in;
      float *to = block + (row - begin) * stride;
      for (int64_t col = 0; col < numCols; ++col)
        to[col] = get(from[col]);
    }
    return;
  }
  // Tiles keep the lines of both sides in the cache.
  constexpr int64_t tile = 16;
  for (int64_t first = 0; first < numCols; first += tile) {
    int64_t last = std::min(numCols, first + tile);
    for (int64_t row = begin; row < end; ++row)
      for (int64_t col = first; col < last; ++col)
        block[(row - begin) * stride + col] =
            get(logical[logicalRow(col) * in + row]);
  }
}

template void ViewRegion::scatter(int64_t, int64_t, const float *, int64_t,
                                  float *) const;
template void ViewRegion::scatter(int64_t, int64_t, const float *, int64_t,
                                  uint16_t *) const;
template void ViewRegion::gather(int64_t, int64_t, const float *, float *,
                                 int64_t) const;
template void ViewRegion::gather(int64_t, int64_t, const uint16_t *, float *,
                                 int64_t) const;

} // namespace qrt
