//===- Quantize.h - Weights as small integers -------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The quantized forms of a parameter, whose layouts dialects/Qwen/Storage.h
// describes: int8 with one scale a row, and int4 in groups of 32 columns whose
// steps are whole multiples of the row's scale. Weights only, to the nearest.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_QUANTIZE_H
#define QWEN_RUNTIME_WEIGHTS_QUANTIZE_H

#include <cstdint>

namespace qrt {

/// Where a quantized matrix (out, in) is written: its first row. A device of a
/// mesh may hold some of the columns; scales are those of whole rows, so that
/// its numbers are the ones that a single device has.
struct QuantizedMatrix {
  int64_t columns = 0;
  int8_t *values = nullptr; ///< int8: columns a row; int4: columns / 2
  float *scales = nullptr;  ///< one a row
  int8_t *steps = nullptr;  ///< int4: columns / 32 a row; null for int8
  int64_t allColumns = 0;   ///< of a whole row; 0: `columns`
  int64_t firstColumn = 0;  ///< of those that are held; int4: of a group

  int64_t rowLength() const { return allColumns ? allColumns : columns; }
};

/// Columns of one group of int4; their number is a multiple of it.
constexpr int64_t kQuantizedGroup = 32;

/// Quantizes `rows` whole rows at `from`, dense, into rows [first, first +
/// rows).
///
/// int8: scale = max |w| / 127, value = w / scale to the nearest.
/// int4: of the steps near (the group's extreme) / d(-8), and of those near its
/// distance from d(7), the one with the smallest squared error; d is
/// qrt_int4_number. A row with a value that is not finite gets a NaN as scale.
void quantizeRows(const float *from, int64_t first, int64_t rows,
                  const QuantizedMatrix &to);

/// The values of one quantized row as f32, in `columns` floats at `to`.
void dequantizeRow(const QuantizedMatrix &from, int64_t row, float *to);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_QUANTIZE_H
