//===- ArenaAllocator.cpp - Offsets from lifetimes ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Memory/ArenaAllocator.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/Support/MathExtras.h"

using namespace qwen;

static constexpr int64_t kAlignment = 64;

int64_t qwen::assignOffsets(llvm::MutableArrayRef<ArenaBuffer> buffers) {
  auto order = llvm::to_vector(llvm::seq<size_t>(0, buffers.size()));
  llvm::stable_sort(order, [&](size_t a, size_t b) {
    return buffers[a].bytes > buffers[b].bytes;
  });
  llvm::SmallVector<const ArenaBuffer *> placed;
  int64_t arena = 0;
  for (size_t index : order) {
    ArenaBuffer &buffer = buffers[index];
    int64_t bytes =
        llvm::alignTo(std::max<int64_t>(buffer.bytes, 1), kAlignment);
    // Those that live at the same time, by offset.
    llvm::SmallVector<const ArenaBuffer *> neighbours;
    for (const ArenaBuffer *other : placed)
      if (other->begin <= buffer.end && buffer.begin <= other->end)
        neighbours.push_back(other);
    llvm::stable_sort(neighbours,
                      [](const ArenaBuffer *a, const ArenaBuffer *b) {
                        return a->offset < b->offset;
                      });
    int64_t best = -1, bestGap = 0, cursor = 0;
    for (const ArenaBuffer *other : neighbours) {
      int64_t gap = other->offset - cursor;
      if (gap >= bytes && (best < 0 || gap < bestGap)) {
        best = cursor;
        bestGap = gap;
      }
      cursor = std::max<int64_t>(
          cursor,
          other->offset +
              llvm::alignTo(std::max<int64_t>(other->bytes, 1), kAlignment));
    }
    buffer.offset = best >= 0 ? best : cursor;
    arena = std::max(arena, buffer.offset + bytes);
    placed.push_back(&buffer);
  }
  return arena;
}
