//===- CollectiveCases.h - Collectives with known results -------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_COMM_COLLECTIVECASES_H
#define QWEN_TEST_UNIT_COMM_COLLECTIVECASES_H

#include "runtime/comm/Communicator.h"

#include <string>
#include <vector>

namespace qrt::test {

/// data=D, tensor=T, cut into prime sub-axes.
Mesh makeMesh(int data, int tensor);

/// Runs collectives of all kinds, types and sets of axes with random inputs,
/// some in place, some of them started together, and compares every bit with
/// what plain loops over all ranks' inputs give. Returns what is wrong, or "".
/// `largest` bounds the number of elements.
std::string runCollectiveCases(Collectives &comm, const Mesh &mesh, int rank,
                               uint64_t seed, int64_t largest);
inline std::string runCollectiveCases(Communicator &comm, uint64_t seed,
                                      int64_t largest) {
  return runCollectiveCases(comm, comm.mesh(), comm.rank(), seed, largest);
}

} // namespace qrt::test

#endif // QWEN_TEST_UNIT_COMM_COLLECTIVECASES_H
