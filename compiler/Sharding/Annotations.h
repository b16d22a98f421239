//===- Annotations.h - Attributes that passes of `shard` leave --*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_SHARDING_ANNOTATIONS_H
#define QWEN_COMPILER_SHARDING_ANNOTATIONS_H

#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

namespace qwen {

/// Between `propagate-shardings` and `partition`: how an op wants its operands,
/// how it gives its results, and how the body's arguments of qwen.layers lie.
inline constexpr llvm::StringLiteral kOperandsAttr = "dist.operands";
inline constexpr llvm::StringLiteral kResultsAttr = "dist.results";
inline constexpr llvm::StringLiteral kArgumentsAttr = "dist.arguments";
/// On an op that adds to a sum: the sum lies otherwise than what it adds.
inline constexpr llvm::StringLiteral kApartAttr = "dist.apart";
/// On a reshard or collective, up to `bucket-collectives`: the tensor is a
/// parameter or a gradient, which no batch or sequence has a part in.
inline constexpr llvm::StringLiteral kOfParameterAttr = "dist.of_parameter";

using Shardings = std::vector<dist::Sharding>;

inline void setShardings(mlir::Operation *op, llvm::StringRef name,
                         llvm::ArrayRef<dist::Sharding> shardings) {
  llvm::SmallVector<mlir::Attribute> attrs;
  for (const dist::Sharding &sharding : shardings)
    attrs.push_back(dist::ShardingAttr::get(op->getContext(), sharding));
  op->setAttr(name, mlir::ArrayAttr::get(op->getContext(), attrs));
}

/// Nothing if the op has no such attribute.
inline Shardings getShardings(mlir::Operation *op, llvm::StringRef name) {
  Shardings shardings;
  if (auto attrs = op->getAttrOfType<mlir::ArrayAttr>(name))
    for (auto attr : attrs.getAsRange<dist::ShardingAttr>())
      shardings.push_back(attr.getSharding());
  return shardings;
}

/// How a value lies, by the attributes of what defines it.
inline dist::Sharding valueSharding(mlir::Value value) {
  if (auto result = llvm::dyn_cast<mlir::OpResult>(value))
    return getShardings(result.getOwner(),
                        kResultsAttr)[result.getResultNumber()];
  auto arg = llvm::cast<mlir::BlockArgument>(value);
  mlir::Operation *parent = arg.getOwner()->getParentOp();
  if (llvm::isa<LayersOp>(parent))
    return getShardings(parent, kArgumentsAttr)[arg.getArgNumber()];
  return llvm::cast<mlir::FunctionOpInterface>(parent)
      .getArgAttrOfType<dist::ShardingAttr>(arg.getArgNumber(),
                                            dist::kShardingAttr)
      .getSharding();
}

/// How what `get` reads lies in memory: a part of a quantized form says so
/// itself, others lie as the parameter is stored. Null on one device.
inline dist::ShardingAttr storedSharding(GetParamOp get, ParamOp param) {
  if (auto own = get->getAttrOfType<dist::ShardingAttr>(dist::kShardingAttr))
    return own;
  return param->getAttrOfType<dist::ShardingAttr>(dist::kShardingAttr);
}

/// A stack of tensors of this sharding, and one of its layers.
inline dist::Sharding stackOf(dist::Sharding sharding) {
  sharding.dims.insert(sharding.dims.begin(), dist::Axes());
  return sharding;
}
inline dist::Sharding layerOf(dist::Sharding sharding) {
  sharding.dims.erase(sharding.dims.begin());
  return sharding;
}

} // namespace qwen

#endif // QWEN_COMPILER_SHARDING_ANNOTATIONS_H
