//===- Reduce.h - Sums and maxima of several ranks --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_REDUCE_H
#define QWEN_RUNTIME_COMM_REDUCE_H

#include "runtime/abi/qwen_module.h"
#include "runtime/core/DType.h"
#include "runtime/core/Error.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace qrt {

/// out[i] = ins[0][i] + ins[1][i] + ... in this order, or the maximum. Sums of
/// floating types are made in f32 and rounded once; those of integers wrap. A
/// maximum with a number that is none is none. `out` may be one of `ins`.
void reduceInOrder(DType type, qrt_reduction reduction,
                   const std::vector<const void *> &ins, int64_t count,
                   void *out);

/// The first element of block `block` when `count` elements are cut into
/// `blocks` blocks whose sizes differ by one at most.
inline int64_t blockBegin(int64_t count, int64_t blocks, int64_t block) {
  return count / blocks * block + std::min(count % blocks, block);
}

/// "all_reduce #7 of 64 f32 over data": for messages.
std::string describe(const qrt_collective &collective, const std::string &axes);

/// Whether the fields of a collective mean something, for a group of `size`
/// ranks. Errors: Q9011.
Status checkCollective(const qrt_collective &collective, int size);

/// Elements of the output for a group of `size` ranks.
int64_t outputCount(const qrt_collective &collective, int size);

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_REDUCE_H
