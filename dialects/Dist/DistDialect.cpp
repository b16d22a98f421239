//===- DistDialect.cpp - Shardings and collectives ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Dist/HeadOps.h"

#include "dialects/Dist/DistDialect.cpp.inc"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

#define GET_ATTRDEF_CLASSES
#include "dialects/Dist/DistAttrs.cpp.inc"

void DistDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Dist/DistAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Dist/DistOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Dist/HeadOps.cpp.inc"
      >();
}

#define GET_OP_CLASSES
#include "dialects/Dist/HeadOps.cpp.inc"

ShardingAttr ShardingAttr::get(MLIRContext *context, const Sharding &sharding) {
  SmallVector<Attribute> dims;
  for (const Axes &axes : sharding.dims)
    dims.push_back(DenseI64ArrayAttr::get(context, axes));
  return get(context, ArrayAttr::get(context, dims),
             DenseI64ArrayAttr::get(context, sharding.partial),
             sharding.isMax && !sharding.partial.empty());
}

Sharding ShardingAttr::getSharding() const {
  Sharding sharding;
  for (auto axes : getDims().getAsRange<DenseI64ArrayAttr>())
    sharding.dims.emplace_back(axes.asArrayRef());
  sharding.partial = Axes(getPartial().asArrayRef());
  sharding.isMax = getIsMax();
  return sharding;
}

void ShardingAttr::print(AsmPrinter &printer) const {
  printer << '<' << getSharding().str() << '>';
}

static ParseResult parseAxes(AsmParser &parser, Axes &axes) {
  return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&] {
    return parser.parseInteger(axes.emplace_back());
  });
}

Attribute ShardingAttr::parse(AsmParser &parser, Type) {
  Sharding sharding;
  auto parseDim = [&] {
    return parseAxes(parser, sharding.dims.emplace_back());
  };
  if (parser.parseLess() ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseDim))
    return {};
  sharding.isMax = succeeded(parser.parseOptionalKeyword("max"));
  if (sharding.isMax || succeeded(parser.parseOptionalKeyword("sum")))
    if (parseAxes(parser, sharding.partial))
      return {};
  if (parser.parseGreater())
    return {};
  llvm::SmallDenseSet<int64_t> seen;
  auto isNew = [&](int64_t axis) {
    return axis >= 0 && seen.insert(axis).second;
  };
  bool good = llvm::all_of(sharding.partial, isNew);
  for (const Axes &axes : sharding.dims)
    good &= llvm::all_of(axes, isNew);
  if (!good) {
    parser.emitError(parser.getNameLoc(), "a sub-axis is used twice");
    return {};
  }
  return get(parser.getContext(), sharding);
}
