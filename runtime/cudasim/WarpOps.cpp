//===- WarpOps.cpp - What the lanes of a warp compute together ------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cudasim/WarpOps.h"

#include <algorithm>
#include <cstring>

using namespace qrt;
using namespace qrt::cudasim;

static bool isIn(uint32_t mask, uint32_t lane) { return mask >> lane & 1; }

int cudasim::shuffleLanes(LaneOperands *lanes, uint32_t mask,
                          qrt_sim_shuffle kind) {
  int undefined = -1;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    if (!isIn(mask, lane))
      continue;
    // The clamp operand: segment mask in bits 8..12, the bound in 0..4.
    uint32_t clamp = lanes[lane].clamp & 0x1f;
    uint32_t segment = lanes[lane].clamp >> 8 & 0x1f;
    uint32_t offset = lanes[lane].offset & 0x1f;
    uint32_t most = (lane & segment) | (clamp & ~segment);
    uint32_t least = lane & segment;
    uint32_t source = 0;
    bool valid = false;
    switch (kind) {
    case QRT_SIM_SHUFFLE_UP:
      // Here the clamp is the lowest lane.
      source = lane - offset;
      valid = static_cast<int32_t>(source) >= static_cast<int32_t>(most);
      break;
    case QRT_SIM_SHUFFLE_DOWN:
      source = lane + offset;
      valid = source <= most;
      break;
    case QRT_SIM_SHUFFLE_BFLY:
      source = lane ^ offset;
      valid = source <= most;
      break;
    case QRT_SIM_SHUFFLE_IDX:
      source = least | (offset & ~segment);
      valid = source <= most;
      break;
    }
    if (!valid)
      source = lane;
    if (!isIn(mask, source) && undefined < 0)
      undefined = lane;
    lanes[lane].result[0] = lanes[source].value;
    lanes[lane].result[1] = valid;
  }
  return undefined;
}

void cudasim::voteLanes(LaneOperands *lanes, uint32_t mask, qrt_sim_vote kind) {
  uint32_t ballot = 0;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane)
    if (isIn(mask, lane) && lanes[lane].value)
      ballot |= 1u << lane;
  uint32_t result = ballot;
  if (kind == QRT_SIM_VOTE_ANY)
    result = ballot != 0;
  else if (kind == QRT_SIM_VOTE_ALL)
    result = ballot == mask;
  else if (kind == QRT_SIM_VOTE_UNI)
    result = ballot == mask || ballot == 0;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane)
    if (isIn(mask, lane))
      lanes[lane].result[0] = result;
}

static uint32_t reduce(uint32_t x, uint32_t y, qrt_sim_redux kind) {
  auto sx = static_cast<int32_t>(x), sy = static_cast<int32_t>(y);
  switch (kind) {
  case QRT_SIM_REDUX_ADD:
    return x + y;
  case QRT_SIM_REDUX_MIN:
    return std::min(sx, sy);
  case QRT_SIM_REDUX_MAX:
    return std::max(sx, sy);
  case QRT_SIM_REDUX_UMIN:
    return std::min(x, y);
  case QRT_SIM_REDUX_UMAX:
    return std::max(x, y);
  case QRT_SIM_REDUX_AND:
    return x & y;
  case QRT_SIM_REDUX_OR:
    return x | y;
  case QRT_SIM_REDUX_XOR:
    return x ^ y;
  }
  return 0;
}

void cudasim::reduceLanes(LaneOperands *lanes, uint32_t mask,
                          qrt_sim_redux kind) {
  bool isFirst = true;
  uint32_t total = 0;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane)
    if (isIn(mask, lane)) {
      total =
          isFirst ? lanes[lane].value : reduce(total, lanes[lane].value, kind);
      isFirst = false;
    }
  for (uint32_t lane = 0; lane < kWarpSize; ++lane)
    if (isIn(mask, lane))
      lanes[lane].result[0] = total;
}

void cudasim::loadMatrices(LaneOperands *lanes, uint32_t count,
                           bool transposed) {
  for (uint32_t m = 0; m < count; ++m) {
    uint16_t matrix[8][8];
    for (uint32_t row = 0; row < 8; ++row)
      std::memcpy(matrix[row], lanes[8 * m + row].row, sizeof matrix[row]);
    for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
      uint32_t row = lane / 4, column = 2 * (lane % 4);
      uint32_t low = transposed ? matrix[column][row] : matrix[row][column];
      uint32_t high =
          transposed ? matrix[column + 1][row] : matrix[row][column + 1];
      lanes[lane].result[m] = low | high << 16;
    }
  }
}

/// The two bf16 numbers of a register.
static void unpack(uint32_t bits, float &low, float &high) {
  uint32_t wide = bits << 16;
  std::memcpy(&low, &wide, 4);
  wide = bits & 0xffff0000;
  std::memcpy(&high, &wide, 4);
}

void cudasim::multiplyBf16(LaneOperands *lanes) {
  float a[16][16], b[16][8];
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    const LaneOperands &from = lanes[lane];
    uint32_t group = lane / 4, pair = 2 * (lane % 4);
    unpack(from.a[0], a[group][pair], a[group][pair + 1]);
    unpack(from.a[1], a[group + 8][pair], a[group + 8][pair + 1]);
    unpack(from.a[2], a[group][pair + 8], a[group][pair + 9]);
    unpack(from.a[3], a[group + 8][pair + 8], a[group + 8][pair + 9]);
    unpack(from.b[0], b[pair][group], b[pair + 1][group]);
    unpack(from.b[1], b[pair + 8][group], b[pair + 9][group]);
  }
  double sum[16][8] = {};
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column)
        sum[row][column] += static_cast<double>(a[row][k]) * b[k][column];
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    uint32_t group = lane / 4, pair = 2 * (lane % 4);
    for (uint32_t i = 0; i < 4; ++i)
      lanes[lane].product[i] = static_cast<float>(
          lanes[lane].c[i] + sum[group + 8 * (i / 2)][pair + i % 2]);
  }
}
