//===- WarpOps.h - What the lanes of a warp compute together ----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Pure functions of what the lanes have brought. Layouts of fragments are those
// of the PTX ISA, "Matrix multiply-accumulate operation using mma instruction".
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDASIM_WARPOPS_H
#define QWEN_RUNTIME_CUDASIM_WARPOPS_H

#include "runtime/abi/qwen_sim.h"

namespace qrt::cudasim {

inline constexpr uint32_t kWarpSize = 32;

/// One lane's part in an operation of its warp.
struct LaneOperands {
  uint32_t value = 0, offset = 0, clamp = 0; ///< shuffle, vote, redux
  const void *row = nullptr;                 ///< ldmatrix
  const uint32_t *a = nullptr, *b = nullptr; ///< mma
  const float *c = nullptr;
  float *product = nullptr;
  uint32_t result[4] = {}; ///< 1 of shuffle (and the predicate), vote, redux
};

/// shfl.sync: result[0], and whether the source was in range in result[1]. A
/// source outside of `mask` is undefined on a GPU: returns the first lane that
/// asks for one, or -1.
int shuffleLanes(LaneOperands *lanes, uint32_t mask, qrt_sim_shuffle kind);
void voteLanes(LaneOperands *lanes, uint32_t mask, qrt_sim_vote kind);
void reduceLanes(LaneOperands *lanes, uint32_t mask, qrt_sim_redux kind);
/// ldmatrix of `count` (1, 2, 4) 8x8 matrices of 16 bits.
void loadMatrices(LaneOperands *lanes, uint32_t count, bool transposed);
/// mma.sync m16n8k16, bf16 in, f32 out. A sum is made in f64 and rounded once:
/// the hardware's own order and precision are not specified.
void multiplyBf16(LaneOperands *lanes);

} // namespace qrt::cudasim

#endif // QWEN_RUNTIME_CUDASIM_WARPOPS_H
