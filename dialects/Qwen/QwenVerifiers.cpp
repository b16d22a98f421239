//===- QwenVerifiers.cpp - Verifiers of the model ops ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/QwenDialect.h"
#include "dialects/Qwen/Storage.h"

#include <limits>

using namespace mlir;
using namespace qwen;

static RankedTensorType tensorType(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static int64_t lastDim(Value value) {
  return tensorType(value).getShape().back();
}

LogicalResult GetParamOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto param = symbols.lookupNearestSymbolFrom<ParamOp>(*this, getParamAttr());
  if (!param)
    return emitOpError("unknown parameter: ") << getParam();
  auto type = cast<RankedTensorType>(param.getType());
  // With a sharding of its own a part is split otherwise than the parameter.
  if (getStorage() && !(*this)->hasAttr("dist.sharding")) {
    RankedTensorType part = storage::partType(type, *getStorage());
    if (!part)
      return emitOpError("parameter ")
             << getParam() << " of type " << type << " has no storage \""
             << *getStorage() << '"';
    if (part != getResult().getType())
      return emitOpError("storage \"")
             << *getStorage() << "\" of parameter " << getParam() << " is "
             << part << ", got " << getResult().getType();
  } else if (!getStorage() &&
             type.getShape() != tensorType(getResult()).getShape())
    return emitOpError("parameter ") << getParam() << " has shape " << type
                                     << ", got " << getResult().getType();
  if (param.getLayers() && !(*this)->getParentOfType<LayersOp>())
    return emitOpError("parameter ")
           << getParam() << " has layers and is read outside of them";
  return success();
}

LogicalResult LayersOp::verify() {
  auto yield = dyn_cast<YieldOp>(getBlock().getTerminator());
  if (!yield)
    return emitOpError("expected qwen.yield at the end of the body");
  SmallVector<Type> args(getCarried().getTypes());
  for (ValueRange group : {ValueRange(getSlices()), ValueRange(getStates())})
    for (Value value : group) {
      if (tensorType(value).getRank() == 0 ||
          tensorType(value).getDimSize(0) != static_cast<int64_t>(getCount()))
        return emitOpError("expected a stack of ")
               << getCount() << " layers, got " << value.getType();
      args.push_back(slice(value.getType()));
    }
  if (TypeRange(args) != TypeRange(getBlock().getArgumentTypes()))
    return emitOpError("body arguments do not fit the operands");
  SmallVector<Type> results(yield.getCarried().getTypes());
  for (Value value : yield.getStacked())
    results.push_back(stack(value.getType(), getCount()));
  for (Value value : yield.getStates())
    results.push_back(stack(value.getType(), getCount()));
  if (TypeRange(results) != TypeRange(getResultTypes()))
    return emitOpError("results do not fit what the body yields");
  if (yield.getCarried().getTypes() != getCarried().getTypes())
    return emitOpError("carried values change their types");
  if (yield.getStates().size() != getStates().size())
    return emitOpError("expected ")
           << getStates().size() << " states, got " << yield.getStates().size();
  return success();
}

LogicalResult ReshapeOp::verify() {
  auto from = tensorType(getOperand()), to = tensorType(getResult());
  if (from.getNumElements() != to.getNumElements() ||
      from.getElementType() != to.getElementType())
    return emitOpError("expected the same elements, got ")
           << from << " and " << to;
  return success();
}

LogicalResult LinearOp::verify() {
  auto weight = tensorType(getWeight());
  if (weight.getRank() != 2 || weight.getDimSize(1) != lastDim(getX()))
    return emitOpError("expected weight (out, in) with in = ")
           << lastDim(getX()) << ", got " << weight;
  if (weight.getDimSize(0) != lastDim(getResult()))
    return emitOpError("expected ")
           << weight.getDimSize(0) << " outputs, got " << getResult().getType();
  if (getBias() &&
      tensorType(getBias()).getShape() != weight.getShape().take_front())
    return emitOpError("expected a bias of ")
           << weight.getDimSize(0) << ", got " << getBias().getType();
  return success();
}

LogicalResult QuantizedLinearOp::verify() {
  // The matrix that was quantized, and its parts.
  int64_t outputs = lastDim(getResult()), inputs = lastDim(getX());
  auto master =
      RankedTensorType::get({outputs, inputs}, Float32Type::get(getContext()));
  bool grouped = getSteps() != nullptr;
  std::pair<Value, StringRef> parts[] = {
      {getWeight(), grouped ? storage::kInt4 : storage::kInt8},
      {getScale(), grouped ? storage::kInt4Scale : storage::kInt8Scale},
      {getSteps(), storage::kInt4Step}};
  for (auto [part, name] : parts) {
    if (!part)
      continue;
    RankedTensorType wanted = storage::partType(master, name);
    if (!wanted)
      return emitOpError("expected inputs in groups of ")
             << storage::kGroup << ", got " << inputs;
    if (part.getType() != wanted)
      return emitOpError("expected ")
             << name << " of type " << wanted << ", got " << part.getType();
  }
  if (getBias() && tensorType(getBias()).getShape() != ArrayRef{outputs})
    return emitOpError("expected a bias of ")
           << outputs << ", got " << getBias().getType();
  return success();
}

LogicalResult RmsNormOp::verify() {
  if (getWeight() && (tensorType(getWeight()).getRank() != 1 ||
                      lastDim(getWeight()) != lastDim(getX())))
    return emitOpError("expected a weight of ")
           << lastDim(getX()) << ", got " << getWeight().getType();
  if (getEps().convertToDouble() < 0)
    return emitOpError("expected eps >= 0, got ") << getEps().convertToDouble();
  return success();
}

LogicalResult RopeOp::verify() {
  if (lastDim(getX()) != 2 * lastDim(getCos()))
    return emitOpError("expected head_dim twice the table's width, got ")
           << lastDim(getX()) << " and " << lastDim(getCos());
  return success();
}

LogicalResult DocumentStartsOp::verify() {
  auto documents = tensorType(getDocuments());
  if (documents.getRank() != 2 || !documents.getElementType().isInteger(32) ||
      getType() != documents)
    return emitOpError("expected document ids [batch, sequence] in i32, got ")
           << documents << " and the result " << getType();
  return success();
}

/// A window is absent (0) or a number of keys.
static LogicalResult verifyWindow(Operation *op, int64_t window) {
  if (window >= 0 && window <= std::numeric_limits<int32_t>::max())
    return success();
  return op->emitOpError("expected a window of 1 key or more, got ") << window;
}

LogicalResult CachedAttentionOp::verify() {
  return verifyWindow(*this, getWindow());
}

LogicalResult AttentionOp::verify() {
  auto q = tensorType(getQ()), k = tensorType(getK());
  if (q.getRank() != 4 || k.getRank() != 4 ||
      getK().getType() != getV().getType())
    return emitOpError(
               "expected q, k, v [batch, sequence, heads, head_dim], got ")
           << q << ", " << k << ", " << getV().getType();
  if (q.getDimSize(2) % k.getDimSize(2))
    return emitOpError(
               "expected num_heads to be a multiple of num_kv_heads, got ")
           << q.getDimSize(2) << " and " << k.getDimSize(2);
  if (q.getDimSize(3) != k.getDimSize(3))
    return emitOpError("expected one head_dim, got ")
           << q.getDimSize(3) << " and " << k.getDimSize(3);
  if (getStarts()) {
    auto starts = tensorType(getStarts());
    if (starts.getShape() != q.getShape().take_front(2) ||
        !starts.getElementType().isInteger(32))
      return emitOpError("expected the documents' starts as [batch, sequence] "
                         "in i32, got ")
             << starts;
  }
  return verifyWindow(*this, getWindow());
}

LogicalResult MuonOp::verify() {
  auto type = tensorType(getParam());
  if (type.getRank() != 2)
    return emitOpError("orthogonalises matrices, got a parameter ") << type;
  for (Value value : {getGrad(), getM()})
    if (tensorType(value).getShape() != type.getShape())
      return emitOpError("expected gradient and momentum of the parameter's "
                         "shape ")
             << type << ", got " << value.getType();
  if (static_cast<int64_t>(getSteps()) < 1)
    return emitOpError("expected at least one iteration, got ") << getSteps();
  auto hyper = tensorType(getHyper());
  if (hyper.getRank() != 2 ||
      static_cast<int64_t>(getGroup()) >= hyper.getDimSize(0))
    return emitOpError("parameter group ")
           << getGroup() << " is not a row of hyper " << hyper;
  return success();
}

LogicalResult MatmulOp::verify() {
  auto lhs = tensorType(getLhs()), rhs = tensorType(getRhs());
  auto result = tensorType(getResult());
  if (lhs.getRank() != 2 || rhs.getRank() != 2)
    return emitOpError("expected matrices, got ") << lhs << " and " << rhs;
  bool left = getForm() == MatmulForm::TN, right = getForm() == MatmulForm::NT;
  int64_t rows = lhs.getDimSize(left), columns = rhs.getDimSize(!right);
  if (lhs.getDimSize(!left) != rhs.getDimSize(right))
    return emitOpError("cannot multiply ")
           << lhs << " and " << rhs << " as " << stringifyMatmulForm(getForm());
  if (result.getShape() != ArrayRef<int64_t>{rows, columns})
    return emitOpError("expected a result of ")
           << rows << " x " << columns << ", got " << result;
  if (getAddend() && tensorType(getAddend()).getShape() != result.getShape())
    return emitOpError("cannot add ")
           << getAddend().getType() << " to " << result;
  return success();
}
