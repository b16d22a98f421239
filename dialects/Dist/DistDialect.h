//===- DistDialect.h - Shardings and collectives ----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_DIALECTS_DIST_DISTDIALECT_H
#define QWEN_DIALECTS_DIST_DISTDIALECT_H

#include "dialects/Dist/Sharding.h"
#include "dialects/Interfaces/QwenInterfaces.h"
#include "dialects/Kernel/KernelDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/Dist/DistDialect.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/Dist/DistAttrs.h.inc"

#define GET_OP_CLASSES
#include "dialects/Dist/DistOps.h.inc"

namespace qwen::dist {

/// On arguments and results of entry points and on qwen.param: how the tensor
/// lies on the mesh.
inline constexpr llvm::StringLiteral kShardingAttr = "dist.sharding";
/// On qwen.param: how the optimizer's state of it lies.
inline constexpr llvm::StringLiteral kStorageAttr = "dist.storage";
/// On qwen.param: rules of its own, `{vocab = "tensor"}`, instead of the
/// module's.
inline constexpr llvm::StringLiteral kRulesAttr = "dist.rules";
/// On arguments of role mesh: the sub-axes, and the factor of the place.
inline constexpr llvm::StringLiteral kAxesAttr = "dist.axes";
inline constexpr llvm::StringLiteral kScaleAttr = "dist.scale";

/// The role of such arguments: a number that depends on the device alone.
inline constexpr llvm::StringLiteral kMeshRole = "mesh";
/// On entry points, from `partition` on: the number of parts that sequences are
/// cut into; on launches, from `fuse` on: the kernel works on one such part.
inline constexpr llvm::StringLiteral kSequencePartsAttr = "dist.sequence_parts";
/// On collectives, from `fuse` on: batch and sequence lead, of actual sizes.
inline constexpr llvm::StringLiteral kRowsAttr = "kernel.rows";
/// On collectives, from `memory` on: the places of operand and result.
inline constexpr llvm::StringLiteral kBuffersAttr = "kernel.buffers";

/// Whether `op` communicates.
bool isCollective(mlir::Operation *op);
/// The sub-axes of a collective.
llvm::ArrayRef<int64_t> axesOf(mlir::Operation *collective);

} // namespace qwen::dist

#endif // QWEN_DIALECTS_DIST_DISTDIALECT_H
