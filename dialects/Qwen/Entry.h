//===- Entry.h - Attributes of entry-point functions ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An entry point is a `func.func` with the attribute `qwen.entry`. `import`
// makes `eval_loss`, `logits`, `prefill` and `decode` (runtime/abi/manifest.md
// says what they take and give); `autodiff` makes `micro_step` from
// `eval_loss`, and `optimizer_step` and `convert_storage`; on a mesh `shard`
// makes `last_micro_step`, which also adds up the devices' gradients. For
// example
//
//   func.func @logits(%tokens: tensor<4x64xi32> {qwen.name = "tokens",
//   qwen.role = "input"})
//       -> (tensor<4x64x256xf32> {qwen.name = "logits", qwen.role = "output"})
//       attributes {qwen.entry, qwen.extents = {batch = 4 : i64, sequence = 64
//       : i64}}
//
//   func.func @decode(%tokens: tensor<1x1xi32> {...}, %start: tensor<1xi32>
//   {...},
//       %length: tensor<1xi32> {...},
//       %k: tensor<28x1x8x4096x128xbf16> {qwen.name = "k", qwen.role =
//       "cache"}, %v: ...)
//       -> (tensor<1x256xf32> {qwen.name = "logits", qwen.role = "output"},
//           tensor<28x1x8x4096x128xbf16> {qwen.name = "k", qwen.role = "cache",
//           qwen.alias = 3 : i64}, ...)
//
// `eval_loss` and `logits` also take `documents` (qwen.optional), which only
// qwen.document_starts reads: no other kernel meets a null pointer.
//
// Activations, tokens and targets lead with [batch, sequence] of the extents'
// maxima; `start` and `length` are [batch]. The last linear layer gives f32
// logits. Weights are read by qwen.get_param in the compute type.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_DIALECTS_QWEN_ENTRY_H
#define QWEN_DIALECTS_QWEN_ENTRY_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/StringRef.h"

namespace qwen::entry {

/// On the function: it is an entry point.
inline constexpr llvm::StringLiteral kEntry = "qwen.entry";
/// On the function: a dictionary of the runtime extents `batch` and `sequence`
/// (absent if the entry has none) with their maxima.
inline constexpr llvm::StringLiteral kExtents = "qwen.extents";

/// On arguments and results: name and role as the manifest has them.
inline constexpr llvm::StringLiteral kName = "qwen.name";
inline constexpr llvm::StringLiteral kRole = "qwen.role";
/// On arguments of role parameter: "master" or "compute".
inline constexpr llvm::StringLiteral kStorage = "qwen.storage";
/// On arguments that belong to a parameter: its symbol.
inline constexpr llvm::StringLiteral kParam = "qwen.param";
/// On arguments of role input: the caller may leave it out (a null pointer).
inline constexpr llvm::StringLiteral kOptional = "qwen.optional";
/// On results: the argument whose memory the result is (donated state).
inline constexpr llvm::StringLiteral kAlias = "qwen.alias";

/// On the module: an array with a dictionary for each parameter group of the
/// optimizer, `{kind = "adamw"}` or `{kind = "muon", nesterov = true, scale =
/// "shape_scaling", steps = 5}`; absent: AdamW for all.
inline constexpr llvm::StringLiteral kOptimizerGroups = "qwen.optimizer_groups";

/// Roles.
inline constexpr llvm::StringLiteral kInput = "input";
inline constexpr llvm::StringLiteral kOutput = "output";
inline constexpr llvm::StringLiteral kParameter = "parameter";
inline constexpr llvm::StringLiteral kGradient = "gradient";
/// What devices' gradients add up to, as the update reads it.
inline constexpr llvm::StringLiteral kGradientSum = "gradient_sum";
inline constexpr llvm::StringLiteral kMoment1 = "moment1";
inline constexpr llvm::StringLiteral kMoment2 = "moment2";
inline constexpr llvm::StringLiteral kCache = "cache";

/// The largest value of an extent of `entry`; 1 if it has none of that name.
inline int64_t maxExtent(mlir::Operation *entry, llvm::StringRef name) {
  auto extents = entry->getAttrOfType<mlir::DictionaryAttr>(kExtents);
  auto value = extents ? extents.getAs<mlir::IntegerAttr>(name) : nullptr;
  return value ? value.getInt() : 1;
}

} // namespace qwen::entry

#endif // QWEN_DIALECTS_QWEN_ENTRY_H
