//===- Prepare.cpp - From a module to what the interpreter runs -----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Oracle/Prepare.h"

#include "dialects/Kernel/KernelDialect.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/IR/AttrTypeSubElements.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::oracle;

//===----------------------------------------------------------------------===//
// Precision
//===----------------------------------------------------------------------===//

void oracle::setPrecision(ModuleOp module, Precision precision) {
  if (precision == Precision::AsIs)
    return;
  Builder b(module.getContext());
  FloatType to = precision == Precision::F32 ? b.getF32Type() : b.getF64Type();
  auto convert = [to](APFloat value) {
    bool losesInfo;
    value.convert(to.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                  &losesInfo);
    return value;
  };
  using Replaced = std::optional<std::pair<Attribute, WalkResult>>;
  AttrTypeReplacer replacer;
  replacer.addReplacement(
      [to](FloatType) -> std::optional<Type> { return to; });
  // Numbers of attributes keep their types (eps is f64); those of tensor
  // constants follow their tensors.
  replacer.addReplacement([](FloatAttr attr) -> Replaced {
    return std::make_pair(attr, WalkResult::skip());
  });
  replacer.addReplacement([](DenseArrayAttr attr) -> Replaced {
    return std::make_pair(attr, WalkResult::skip());
  });
  replacer.addReplacement([=](DenseElementsAttr attr) -> Replaced {
    Attribute result = attr;
    if (auto floats = dyn_cast<DenseFPElementsAttr>(attr))
      result = floats.mapValues(to, [&](const APFloat &value) {
        return convert(value).bitcastToAPInt();
      });
    return std::make_pair(result, WalkResult::skip());
  });
  replacer.recursivelyReplaceElementsIn(module, /*replaceAttrs=*/true,
                                        /*replaceLocs=*/false,
                                        /*replaceTypes=*/true);
}

//===----------------------------------------------------------------------===//
// Kernels of actual sizes
//===----------------------------------------------------------------------===//

/// The type that a kernel sees of a tensor of type `actual` where it is written
/// for `type`; null if that has other elements. One `?` takes all dimensions
/// merged into it, two are batch and sequence.
static RankedTensorType viewOf(RankedTensorType type, RankedTensorType actual) {
  SmallVector<int64_t> shape(type.getShape());
  int64_t known = 1, dynamic = 0;
  for (int64_t size : shape) {
    dynamic += ShapedType::isDynamic(size);
    known *= ShapedType::isDynamic(size) ? 1 : size;
  }
  if (dynamic == 1 && known) {
    for (int64_t &size : shape)
      if (ShapedType::isDynamic(size))
        size = actual.getNumElements() / known;
  } else {
    for (int64_t d = 0; d < dynamic && d < actual.getRank(); ++d)
      if (ShapedType::isDynamic(shape[d]))
        shape[d] = actual.getDimSize(d);
  }
  auto view = RankedTensorType::get(shape, type.getElementType());
  if (!view.hasStaticShape() ||
      view.getNumElements() != actual.getNumElements())
    return nullptr;
  return view;
}

/// Puts `rows` in place of `?` in all types inside of a kernel on merged rows.
static void setRows(kernel::FuncOp func, int64_t rows) {
  AttrTypeReplacer replacer;
  replacer.addReplacement([rows](RankedTensorType type) -> std::optional<Type> {
    SmallVector<int64_t> shape(type.getShape());
    for (int64_t &size : shape)
      if (ShapedType::isDynamic(size))
        size = rows;
    return RankedTensorType::get(shape, type.getElementType());
  });
  replacer.recursivelyReplaceElementsIn(func, /*replaceAttrs=*/false,
                                        /*replaceLocs=*/false,
                                        /*replaceTypes=*/true);
}

/// Gives `launch` a kernel of its own, of static types.
static LogicalResult specialise(kernel::LaunchOp launch, SymbolTable &symbols) {
  auto shared = symbols.lookup<kernel::FuncOp>(launch.getCallee());
  if (!shared)
    return launch.emitOpError("unknown kernel: ") << launch.getCallee();
  auto func = cast<kernel::FuncOp>(shared->clone());
  symbols.insert(func);
  launch.setCalleeAttr(FlatSymbolRefAttr::get(func.getSymNameAttr()));

  SmallVector<Type> args, results;
  int64_t rows = 0;
  auto view = [&](Type type, Type actual,
                  SmallVector<Type> &views) -> LogicalResult {
    auto from = cast<RankedTensorType>(type);
    RankedTensorType to = viewOf(from, cast<RankedTensorType>(actual));
    if (!to)
      return launch.emitOpError("passes ")
             << actual << " to kernel " << func.getSymName() << " as " << type;
    views.push_back(to);
    if (from.getRank() && from.isDynamicDim(0))
      rows = std::max(rows, to.getDimSize(0));
    return success();
  };
  for (auto [type, operand] :
       llvm::zip(func.getArgumentTypes(), launch.getOperands()))
    if (failed(view(type, operand.getType(), args)))
      return failure();
  for (auto [type, result] :
       llvm::zip(func.getResultTypes(), launch.getResultTypes()))
    if (failed(view(type, result, results)))
      return failure();

  // A block kernel has one op and no types but those of arguments and results;
  // the other kernels have one number of rows everywhere.
  Block &body = func.getBody().front();
  if (func.getRoot() != kernel::Root::Block)
    setRows(func, rows);
  for (auto [arg, type] : llvm::zip(body.getArguments(), args))
    arg.setType(type);
  for (auto [value, type] :
       llvm::zip(body.getTerminator()->getOperands(), results))
    value.setType(cast<RankedTensorType>(type));
  func.setType(FunctionType::get(func.getContext(), args, results));
  return success();
}

//===----------------------------------------------------------------------===//
// Elementary ops
//===----------------------------------------------------------------------===//

LogicalResult oracle::makeElementary(ModuleOp module) {
  SymbolTable symbols(module);
  SmallVector<kernel::LaunchOp> launches;
  module.walk([&](kernel::LaunchOp op) { launches.push_back(op); });
  SmallVector<kernel::FuncOp> shared(module.getOps<kernel::FuncOp>());
  for (kernel::LaunchOp launch : launches)
    if (failed(specialise(launch, symbols)))
      return failure();
  for (kernel::FuncOp func : shared)
    symbols.erase(func);

  SmallVector<DecomposeOpInterface> ops;
  module.walk([&](DecomposeOpInterface op) { ops.push_back(op); });
  for (DecomposeOpInterface op : ops) {
    OpBuilder b(op);
    FailureOr<SmallVector<Value>> values = op.decompose(b, op->getOperands());
    if (failed(values))
      return op->emitOpError("has no decomposition");
    for (auto [result, value] : llvm::zip(op->getResults(), *values))
      if (result.getType() != value.getType())
        return op->emitOpError("result ")
               << result.getResultNumber() << " of type " << result.getType()
               << " is decomposed to " << value.getType();
    op->replaceAllUsesWith(*values);
    op->erase();
  }
  return success();
}
