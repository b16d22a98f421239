//===- KernelOps.cpp - Verifiers and builders of the kernel dialect -------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Kernel/KernelDialect.h"
#include "mlir/Interfaces/FunctionImplementation.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace qwen::kernel;

static RankedTensorType tensorType(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static bool sameSize(int64_t lhs, int64_t rhs) {
  return lhs == rhs || ShapedType::isDynamic(lhs) || ShapedType::isDynamic(rhs);
}

//===----------------------------------------------------------------------===//
// BroadcastOp
//===----------------------------------------------------------------------===//

LogicalResult BroadcastOp::verify() {
  RankedTensorType from = tensorType(getOperand()),
                   to = tensorType(getResult());
  ArrayRef<int64_t> dims = getDims();
  if (static_cast<int64_t>(dims.size()) != from.getRank())
    return emitOpError("expected one dimension for each of the operand's, got ")
           << dims.size() << " and rank " << from.getRank();
  int64_t last = -1;
  for (auto [k, dim] : llvm::enumerate(dims)) {
    if (dim <= last || dim >= to.getRank())
      return emitOpError("expected ascending dimensions below ")
             << to.getRank() << ", got " << dim;
    last = dim;
    if (from.getDimSize(k) != 1 &&
        !sameSize(from.getDimSize(k), to.getDimSize(dim)))
      return emitOpError("size of operand dimension ")
             << k << " does not fit result dimension " << dim << ": "
             << from.getDimSize(k) << " and " << to.getDimSize(dim);
  }
  if (from.getElementType() != to.getElementType())
    return emitOpError("expected one element type, got ")
           << from << " and " << to;
  return success();
}

//===----------------------------------------------------------------------===//
// ReduceOp
//===----------------------------------------------------------------------===//

void ReduceOp::build(OpBuilder &builder, OperationState &state,
                     ReductionKind kind, Value operand,
                     ArrayRef<int64_t> dims) {
  RankedTensorType type = tensorType(operand);
  SmallVector<int64_t> shape;
  for (int64_t i = 0; i < type.getRank(); ++i)
    if (!llvm::is_contained(dims, i))
      shape.push_back(type.getDimSize(i));
  build(builder, state, RankedTensorType::get(shape, type.getElementType()),
        kind, operand, dims);
}

LogicalResult ReduceOp::verify() {
  RankedTensorType from = tensorType(getOperand()),
                   to = tensorType(getResult());
  SmallVector<int64_t> shape;
  for (int64_t dim : getDims())
    if (dim < 0 || dim >= from.getRank())
      return emitOpError("dimension out of range: ") << dim;
  for (int64_t i = 0; i < from.getRank(); ++i)
    if (!llvm::is_contained(getDims(), i))
      shape.push_back(from.getDimSize(i));
  if (RankedTensorType::get(shape, from.getElementType()) != to)
    return emitOpError("expected result type ")
           << RankedTensorType::get(shape, from.getElementType()) << ", got "
           << to;
  return success();
}

//===----------------------------------------------------------------------===//
// ContractOp
//===----------------------------------------------------------------------===//

LogicalResult ContractOp::verify() {
  auto [inputs, out] = getSpec().split("->");
  auto [lhs, rhs] = inputs.split(",");
  llvm::DenseMap<char, int64_t> sizes;
  auto check = [&](StringRef letters, RankedTensorType type,
                   StringRef name) -> LogicalResult {
    if (static_cast<int64_t>(letters.size()) != type.getRank())
      return emitOpError("expected ")
             << name << " of rank " << letters.size() << " for \"" << getSpec()
             << "\", got " << type;
    for (auto [i, letter] : llvm::enumerate(letters)) {
      auto [it, isNew] = sizes.try_emplace(letter, type.getDimSize(i));
      if (!isNew && !sameSize(it->second, type.getDimSize(i)))
        return emitOpError("dimension '")
               << letter << "' has two sizes: " << it->second << " and "
               << type.getDimSize(i);
    }
    return success();
  };
  if (failed(check(lhs, tensorType(getLhs()), "lhs")) ||
      failed(check(rhs, tensorType(getRhs()), "rhs")))
    return failure();
  for (char letter : out)
    if (!sizes.count(letter))
      return emitOpError("result dimension '")
             << letter << "' is in neither operand of \"" << getSpec() << "\"";
  return check(out, tensorType(getResult()), "result");
}

//===----------------------------------------------------------------------===//
// GatherOp, ScatterAddOp, SliceOp, ConcatOp
//===----------------------------------------------------------------------===//

LogicalResult GatherOp::verify() {
  int64_t rank = tensorType(getTable()).getRank();
  if (rank < 1 || rank > 2 ||
      tensorType(getResult()).getRank() !=
          tensorType(getIds()).getRank() + rank - 1)
    return emitOpError("expected a matrix and a result of one more dimension "
                       "than the ids, or a vector and as many, got ")
           << getTable().getType() << " and " << getResult().getType();
  return success();
}

LogicalResult UnpackInt4Op::verify() {
  RankedTensorType packed = tensorType(getPacked()),
                   steps = tensorType(getSteps()),
                   result = tensorType(getResult());
  if (result.getRank() != 2 || result.getDimSize(1) % 32)
    return emitOpError("expected a matrix with columns in groups of 32, got ")
           << result;
  int64_t n = result.getDimSize(0), k = result.getDimSize(1);
  if (packed.getShape() != ArrayRef{n, k / 2} ||
      steps.getShape() != ArrayRef{n, k / 32})
    return emitOpError("expected ")
           << k / 2 << " bytes and " << k / 32 << " steps a row, got " << packed
           << " and " << steps;
  return success();
}

void ScatterAddOp::build(OpBuilder &builder, OperationState &state, Value rows,
                         Value acc, Value ids) {
  build(builder, state, acc.getType(), rows, acc, ids);
}

LogicalResult ScatterAddOp::verify() {
  if (getAcc().getType() != getResult().getType())
    return emitOpError("expected the accumulator's type as result, got ")
           << getAcc().getType() << " and " << getResult().getType();
  return success();
}

static RankedTensorType withLastDim(RankedTensorType type, int64_t size) {
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = size;
  return RankedTensorType::get(shape, type.getElementType());
}

void SliceOp::build(OpBuilder &builder, OperationState &state, Value operand,
                    int64_t begin, int64_t size) {
  build(builder, state, withLastDim(tensorType(operand), size), operand, begin);
}

LogicalResult SliceOp::verify() {
  RankedTensorType from = tensorType(getOperand()),
                   to = tensorType(getResult());
  int64_t end = static_cast<int64_t>(getBegin()) + to.getShape().back();
  if (withLastDim(from, to.getShape().back()) != to ||
      end > from.getShape().back())
    return emitOpError("range ends at ")
           << end << ", beyond the operand " << from;
  return success();
}

void ConcatOp::build(OpBuilder &builder, OperationState &state, Value lhs,
                     Value rhs) {
  RankedTensorType type = tensorType(lhs);
  build(builder, state,
        withLastDim(type,
                    type.getShape().back() + tensorType(rhs).getShape().back()),
        lhs, rhs);
}

LogicalResult ConcatOp::verify() {
  RankedTensorType lhs = tensorType(getLhs()), rhs = tensorType(getRhs());
  if (withLastDim(lhs, lhs.getShape().back() + rhs.getShape().back()) !=
      getResult().getType())
    return emitOpError("result does not join ")
           << lhs << " and " << rhs << ", got " << getResult().getType();
  return success();
}

LogicalResult ElementOp::verify() {
  RankedTensorType type = tensorType(getOperand());
  if (static_cast<int64_t>(getIndices().size()) != type.getRank())
    return emitOpError("expected ")
           << type.getRank() << " indices, got " << getIndices().size();
  for (auto [index, size] : llvm::zip(getIndices(), type.getShape()))
    if (index < 0 || index >= size)
      return emitOpError("index out of range: ") << index << " of " << size;
  return success();
}

//===----------------------------------------------------------------------===//
// FuncOp, LaunchOp
//===----------------------------------------------------------------------===//

ParseResult FuncOp::parse(OpAsmParser &parser, OperationState &result) {
  StringRef keyword;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseKeyword(&keyword))
    return failure();
  std::optional<Root> root = symbolizeRoot(keyword);
  if (!root)
    return parser.emitError(loc, "unknown root: ") << keyword;
  result.addAttribute(getRootAttrName(result.name),
                      RootAttr::get(parser.getContext(), *root));
  auto buildType = [](Builder &builder, ArrayRef<Type> args,
                      ArrayRef<Type> results,
                      function_interface_impl::VariadicFlag, std::string &) {
    return builder.getFunctionType(args, results);
  };
  return function_interface_impl::parseFunctionOp(
      parser, result, /*allowVariadic=*/false,
      getFunctionTypeAttrName(result.name), buildType,
      getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name));
}

void FuncOp::print(OpAsmPrinter &printer) {
  printer << ' ' << stringifyRoot(getRoot()) << ' ';
  printer.printSymbolName(getSymName());
  function_interface_impl::printFunctionSignature(
      printer, *this, getArgumentTypes(), /*isVariadic=*/false,
      getResultTypes());
  function_interface_impl::printFunctionAttributes(
      printer, *this,
      {getFunctionTypeAttrName(), getArgAttrsAttrName(), getResAttrsAttrName(),
       getRootAttrName()});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

int FuncOp::getInplaceArgument(unsigned index) {
  for (unsigned i = 0, e = getNumArguments(); i != e; ++i)
    if (auto attr = getArgAttrOfType<IntegerAttr>(i, kInplaceAttr))
      if (attr.getInt() == index)
        return i;
  return -1;
}

LogicalResult FuncOp::verify() {
  Operation *terminator = getBody().front().getTerminator();
  if (!isa<ReturnOp>(terminator) ||
      TypeRange(terminator->getOperandTypes()) != TypeRange(getResultTypes()))
    return emitOpError("expected kernel.return of the function's result types");
  for (unsigned i = 0, e = getNumArguments(); i != e; ++i)
    if (auto attr = getArgAttrOfType<IntegerAttr>(i, kInplaceAttr))
      if (attr.getInt() < 0 || attr.getInt() >= getNumResults() ||
          getResultTypes()[attr.getInt()] != getArgumentType(i))
        return emitOpError("argument ")
               << i << " cannot share memory with result " << attr.getInt();
  return success();
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto callee = symbols.lookupNearestSymbolFrom<FuncOp>(*this, getCalleeAttr());
  if (!callee)
    return emitOpError("unknown kernel: ") << getCallee();
  if (callee.getNumArguments() != getNumOperands() ||
      callee.getNumResults() != getNumResults())
    return emitOpError("kernel ")
           << getCallee() << " has " << callee.getNumArguments()
           << " arguments and " << callee.getNumResults() << " results, got "
           << getNumOperands() << " and " << getNumResults();
  return success();
}

#define GET_OP_CLASSES
#include "dialects/Kernel/KernelOps.cpp.inc"
