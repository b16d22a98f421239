//===- Transport.h - What a backend of collectives provides -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_TRANSPORT_H
#define QWEN_RUNTIME_COMM_TRANSPORT_H

#include "runtime/abi/qwen_module.h"
#include "runtime/core/Error.h"
#include "runtime/core/Mesh.h"

#include <string>

namespace qrt {

/// Moves and adds the data of one device's collectives. All calls come from one
/// thread at a time, in the same order on all ranks.
class Transport {
public:
  virtual ~Transport() = default;

  /// Runs a valid collective among `group` and returns when `out` is complete
  /// and `in` may change. `in` and `out` are the same for an all-reduce at
  /// most. Errors: Q9012 and later.
  virtual Status run(const qrt_collective &collective, const RankGroup &group,
                     const void *in, void *out) = 0;

  /// Every rank contributes `bytes` bytes and gets those of all ranks, in
  /// order. Of host memory; used by the runtime for itself.
  virtual Status exchange(const void *in, int64_t bytes, void *out) = 0;
};

/// Whether all ranks of `mesh` are about to run the same collective, the
/// `number`-th of the run. Errors: Q9012, naming the first that differs.
Status compareOverRanks(const qrt_collective &collective, int64_t number,
                        const Mesh &mesh, Transport &transport);

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_TRANSPORT_H
