//===- Collectives.h - What a device needs to talk to others ----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_COLLECTIVES_H
#define QWEN_RUNTIME_CORE_COLLECTIVES_H

#include "runtime/abi/qwen_module.h"
#include "runtime/core/Error.h"

namespace qrt {

/// The collectives of one device, as modules call them (see qwen_module.h). A
/// device without one is alone: every collective copies its input.
class Collectives {
public:
  virtual ~Collectives() = default;

  /// Starts a collective; both buffers stay as they are until it was waited
  /// for. `in` and `out` are the same or do not overlap.
  virtual Status start(const qrt_collective &collective, const void *in,
                       void *out) = 0;
  /// Waits for the oldest collective that was started and not waited for.
  virtual Status wait() = 0;
};

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_COLLECTIVES_H
