//===- HeadOps.h - Heads that are there for the mesh alone ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_DIALECTS_DIST_HEADOPS_H
#define QWEN_DIALECTS_DIST_HEADOPS_H

#include "dialects/Dist/DistDialect.h"

#define GET_OP_CLASSES
#include "dialects/Dist/HeadOps.h.inc"

namespace qwen::dist {

/// On dist.pad_groups that pads, until `partition`: the sub-axes over which the
/// entries of a group are split.
inline constexpr llvm::StringLiteral kGroupAxesAttr = "dist.group_axes";

} // namespace qwen::dist

#endif // QWEN_DIALECTS_DIST_HEADOPS_H
