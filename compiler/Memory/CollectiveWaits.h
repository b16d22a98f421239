//===- CollectiveWaits.h - When collectives are waited for ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MEMORY_COLLECTIVEWAITS_H
#define QWEN_COMPILER_MEMORY_COLLECTIVEWAITS_H

#include "llvm/ADT/StringRef.h"

namespace qwen {

/// On a collective: it is started where it stands and waited for later. Without
/// it, it is waited for at once.
inline constexpr llvm::StringLiteral kStartedAttr = "dist.started";
/// On any op: the number of collectives, the oldest ones that were started in
/// its block, that are waited for before it.
inline constexpr llvm::StringLiteral kWaitsAttr = "dist.waits";
/// On an op in a loop: the number of collectives that an iteration leaves under
/// way. They are waited for before the op in the next iteration (of the last
/// one: behind the loop), and then the late ops run.
inline constexpr llvm::StringLiteral kCarriedWaitsAttr = "dist.carried_waits";
/// On an op at the end of a loop's body: it runs in the next iteration, on this
/// one's layer.
inline constexpr llvm::StringLiteral kLateAttr = "dist.late";

} // namespace qwen

#endif // QWEN_COMPILER_MEMORY_COLLECTIVEWAITS_H
