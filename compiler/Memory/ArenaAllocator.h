//===- ArenaAllocator.h - Offsets from lifetimes ----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MEMORY_ARENAALLOCATOR_H
#define QWEN_COMPILER_MEMORY_ARENAALLOCATOR_H

#include "mlir/IR/Location.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

namespace qwen {

/// A buffer that lives from position `begin` to position `end`, both included.
struct ArenaBuffer {
  int64_t bytes = 0;
  int64_t begin = 0, end = 0;
  /// A saved value (counted as activations), not workspace.
  bool saved = false;
  mlir::Location loc;
  int64_t offset = -1;
};

/// Chooses offsets (64-byte aligned): largest buffer first, each at the best
/// fitting gap among those it lives together with. Deterministic. Returns the
/// size of the arena.
int64_t assignOffsets(llvm::MutableArrayRef<ArenaBuffer> buffers);

} // namespace qwen

#endif // QWEN_COMPILER_MEMORY_ARENAALLOCATOR_H
