//===- ReverseAutodiff.cpp - Make the training step from the loss ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Autodiff/AdjointRules.h"
#include "compiler/Autodiff/Differentiate.h"
#include "compiler/Autodiff/Passes.h"
#include "compiler/Autodiff/SaveForBackward.h"
#include "dialects/Dist/HeadOps.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace qwen {
#define GEN_PASS_DEF_REVERSEAUTODIFF
#include "compiler/Autodiff/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {

/// Gradients of values and parameters, common to both levels.
class GradientMap : public Adjoint {
public:
  using Adjoint::Adjoint;

  Value grad(Value forward) override { return grads.lookup(forward); }

  void add(Value forward, Value gradient) override {
    Value &sum = grads[forward];
    sum = sum ? AddOp::create(b, forward.getLoc(), forward.getType(), sum,
                              gradient)
              : gradient;
  }

  void addWeight(Value weight,
                 llvm::function_ref<Value(Value)> build) override {
    auto param = weight.getDefiningOp<GetParamOp>();
    if (param && accumulators.count(param.getParamAttr().getAttr())) {
      Value &acc = accumulators[param.getParamAttr().getAttr()];
      acc = build(acc);
      return;
    }
    // The gradient of what was padded, without the padding.
    if (auto pad = weight.getDefiningOp<dist::PadGroupsOp>()) {
      Location loc = weight.getLoc();
      auto sumType = [&](Type type) {
        bool isWide = getElementTypeOrSelf(type).isF64();
        return RankedTensorType::get(cast<RankedTensorType>(type).getShape(),
                                     isWide ? Type(b.getF64Type())
                                            : Type(b.getF32Type()));
      };
      // A start of its own: sums of equal shapes are two memories.
      Value padded = build(dist::StartOp::create(
          b, loc, sumType(weight.getType()), read(weight)));
      addWeight(pad.getOperand(), [&](Value acc) -> Value {
        Value cut =
            dist::PadGroupsOp::create(b, loc, sumType(acc.getType()), padded,
                                      Value(), pad.getDim(), pad.getGroups());
        return dist::AccumulateOp::create(b, loc, acc.getType(), cut, acc);
      });
      return;
    }
    // Not a parameter of this level: a gradient like any other.
    auto type = cast<RankedTensorType>(weight.getType());
    Type element = type.getElementType().isF64() ? Type(b.getF64Type())
                                                 : Type(b.getF32Type());
    auto accType = RankedTensorType::get(type.getShape(), element);
    Value result = build(ZerosOp::create(b, weight.getLoc(), accType));
    if (result.getType() != type)
      result = CastOp::create(b, weight.getLoc(), type, result);
    add(weight, result);
  }

  /// Runs the rules over `block` backwards.
  LogicalResult run(Block &block) {
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
      bool reached = llvm::any_of(op.getResults(),
                                  [&](Value v) { return grads.count(v); });
      if (!reached || isa<GetParamOp>(op))
        continue;
      if (failed(visit(&op)))
        return failure();
    }
    return success();
  }

  virtual LogicalResult visit(Operation *op) {
    return applyAdjointRule(op, *this);
  }

  DenseMap<Value, Value> grads;
  /// Parameter -> its gradient so far.
  llvm::MapVector<StringAttr, Value> accumulators;
};

/// The backward body of one qwen.layers.
class LayersAdjoint : public GradientMap {
public:
  LayersAdjoint(OpBuilder &builder, LayersOp forward, Block &body)
      : GradientMap(builder), forward(forward), body(body) {}

  Value read(Value value) override {
    if (!forward.getBody().isAncestor(value.getParentRegion()))
      return value;
    Value &readable = readables[value];
    if (readable)
      return readable;
    if (auto param = value.getDefiningOp<GetParamOp>())
      return readable = b.clone(*param)->getResult(0);
    if (auto pad = value.getDefiningOp<dist::PadGroupsOp>()) {
      Value source = read(pad.getOperand());
      return readables[value] = dist::PadGroupsOp::create(
                 b, pad.getLoc(), pad.getType(), source, Value(), pad.getDim(),
                 pad.getGroups());
    }
    if (auto reshape = value.getDefiningOp<ReshapeOp>()) {
      Value source = read(reshape.getOperand());
      return readables[value] = ReshapeOp::create(b, reshape.getLoc(),
                                                  reshape.getType(), source);
    }
    readable = body.insertArgument(forward.getCarried().size() + saved.size(),
                                   value.getType(), value.getLoc());
    saved.push_back(value);
    return readable;
  }

  void replace(Value, Value) override {}

  /// Forward values that the body reads, in the order of its slices.
  SmallVector<Value> saved;

private:
  LayersOp forward;
  Block &body;
  DenseMap<Value, Value> readables;
};

/// The training step's function.
class StepAdjoint : public GradientMap {
public:
  StepAdjoint(OpBuilder &builder, ModuleOp module)
      : GradientMap(builder), module(module) {}

  Value read(Value value) override { return value; }
  void replace(Value from, Value to) override { replaced[from] = to; }
  LogicalResult visit(Operation *op) override {
    if (auto layers = dyn_cast<LayersOp>(op))
      return visitLayers(layers);
    return GradientMap::visit(op);
  }

  DenseMap<Value, Value> replaced;
  int64_t numSaved = 0;

private:
  LogicalResult visitLayers(LayersOp layers);
  ModuleOp module;
};

struct ReverseAutodiff
    : public qwen::impl::ReverseAutodiffBase<ReverseAutodiff> {
  using ReverseAutodiffBase::ReverseAutodiffBase;
  void runOnOperation() override;
};

} // namespace

/// `layers` again, with more stacked results.
static LayersOp withStacked(LayersOp layers, ArrayRef<Value> more) {
  OpBuilder b(layers);
  int64_t count = layers.getCount();
  SmallVector<Type> types(layers.getCarriedResults().getTypes());
  llvm::append_range(types, layers.getStackedResults().getTypes());
  for (Value value : more)
    types.push_back(LayersOp::stack(value.getType(), count));
  llvm::append_range(types, layers.getStateResults().getTypes());
  auto result = LayersOp::create(b, layers.getLoc(), types, layers.getCarried(),
                                 layers.getSlices(), layers.getStates(), count,
                                 layers.getBegin(), layers.getReverse());
  result.getBody().takeBody(layers.getBody());
  auto yield = cast<YieldOp>(result.getBlock().getTerminator());
  yield.getStackedMutable().append(more);
  for (auto [from, to] :
       llvm::zip(layers.getCarriedResults(), result.getCarriedResults()))
    from.replaceAllUsesWith(to);
  for (auto [from, to] : llvm::zip(layers.getStackedResults(),
                                   result.getStackedResults().take_front(
                                       layers.getStackedResults().size())))
    from.replaceAllUsesWith(to);
  for (auto [from, to] :
       llvm::zip(layers.getStateResults(), result.getStateResults()))
    from.replaceAllUsesWith(to);
  return result;
}

LogicalResult StepAdjoint::visitLayers(LayersOp layers) {
  Location loc = layers.getLoc();
  auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
  unsigned numCarried = layers.getCarried().size();

  Region region;
  Block &body = region.emplaceBlock();
  OpBuilder inner(b.getContext());
  inner.setInsertionPointToEnd(&body);
  LayersAdjoint adjoint(inner, layers, body);

  // Carried: the gradients of what the iteration gave to the next.
  SmallVector<Value> carried;
  for (auto [value, result] :
       llvm::zip(yield.getCarried(), layers.getCarriedResults())) {
    Value gradient = grad(result);
    if (!gradient)
      gradient = ZerosOp::create(b, loc, result.getType());
    carried.push_back(gradient);
    adjoint.add(value, body.addArgument(value.getType(), value.getLoc()));
  }
  // States: the gradients of the parameters that the body reads.
  SmallVector<StringAttr> params;
  SmallVector<Value> states;
  for (auto &[symbol, acc] : accumulators) {
    auto param = module.lookupSymbol<ParamOp>(symbol);
    bool used = false;
    for (GetParamOp get : layers.getBlock().getOps<GetParamOp>())
      used |= get.getParamAttr().getAttr() == symbol;
    if (!used)
      continue;
    if (!param.getLayers())
      return param.emitOpError("parameter ")
             << symbol.getValue()
             << " has no layers and is trained inside of them";
    params.push_back(symbol);
    states.push_back(acc);
    adjoint.accumulators[symbol] =
        body.addArgument(LayersOp::slice(acc.getType()), param.getLoc());
  }
  if (failed(adjoint.run(layers.getBlock())))
    return failure();

  SmallVector<Value> carriedOut, statesOut;
  for (Value arg : layers.getCarriedArgs()) {
    Value gradient = adjoint.grad(arg);
    if (!gradient)
      gradient = ZerosOp::create(inner, loc, arg.getType());
    carriedOut.push_back(gradient);
  }
  for (StringAttr symbol : params)
    statesOut.push_back(adjoint.accumulators[symbol]);
  YieldOp::create(inner, loc, carriedOut, ValueRange(), statesOut);

  for (auto &[value, gradient] : adjoint.grads)
    if (gradient && !layers.getBody().isAncestor(value.getParentRegion()))
      return emitError(
          value.getLoc(),
          "a value from outside of the layers needs a gradient inside");
  for (ValueRange args : {layers.getSliceArgs(), layers.getStateArgs()})
    for (Value arg : args)
      if (adjoint.grad(arg))
        return emitError(arg.getLoc(),
                         "a slice or state of the layers needs a gradient");
  for (ResultRange results :
       {layers.getStackedResults(), layers.getStateResults()})
    for (Value result : results)
      if (grad(result))
        return emitError(loc, "a stacked result or state of the layers has a "
                              "gradient");

  LayersOp forward = withStacked(layers, adjoint.saved);
  numSaved += adjoint.saved.size();
  SmallVector<Type> types(ValueRange(carried).getTypes());
  llvm::append_range(types, ValueRange(states).getTypes());
  auto backward = LayersOp::create(
      b, loc, types, carried,
      forward.getStackedResults().take_back(adjoint.saved.size()), states,
      forward.getCount(), forward.getBegin(), !forward.getReverse());
  backward.getBody().takeBody(region);

  for (auto [init, gradient] : llvm::zip(
           forward.getCarried(), backward.getResults().take_front(numCarried)))
    add(init, gradient);
  for (auto [symbol, acc] : llvm::zip(params, backward.getStateResults()))
    accumulators[symbol] = acc;
  layers.erase();
  return success();
}

/// The signature of the training step, and its empty accumulators.
static func::FuncOp makeStep(func::FuncOp loss, ArrayRef<ParamOp> params,
                             GradientMap &adjoint) {
  Builder b(loss.getContext());
  auto step = cast<func::FuncOp>(loss->clone());
  step.setName("micro_step");
  Block &body = step.getBody().front();
  auto scalar = RankedTensorType::get({}, b.getF32Type());
  SmallVector<Type> types(step.getArgumentTypes());
  SmallVector<DictionaryAttr> attrs;
  step.getAllArgAttrs(attrs);
  auto append = [&](Type type, ArrayRef<NamedAttribute> named, Location loc) {
    types.push_back(type);
    attrs.push_back(b.getDictionaryAttr(named));
    return body.addArgument(type, loc);
  };
  auto string = [&](StringRef key, StringRef value) {
    return b.getNamedAttr(key, b.getStringAttr(value));
  };
  append(
      scalar,
      {string(entry::kName, "inv_count"), string(entry::kRole, entry::kInput)},
      step.getLoc());
  for (ParamOp param : params) {
    Type type = param.getType();
    if (param.getLayers())
      type = LayersOp::stack(type, *param.getLayers());
    adjoint.accumulators[param.getSymNameAttr()] =
        append(type,
               {string(entry::kName, param.getSymName()),
                string(entry::kRole, entry::kGradient),
                b.getNamedAttr(entry::kParam,
                               FlatSymbolRefAttr::get(param.getSymNameAttr()))},
               param.getLoc());
  }
  step.setType(b.getFunctionType(types, {}));
  step.setAllArgAttrs(attrs);
  return step;
}

/// Returns the loss and the gradients.
static void finishStep(func::FuncOp step, Value loss, GradientMap &adjoint) {
  Operation *ret = step.getBody().front().getTerminator();
  Builder b(step.getContext());
  SmallVector<Value> results{loss};
  SmallVector<DictionaryAttr> attrs{b.getDictionaryAttr(
      {b.getNamedAttr(entry::kName, b.getStringAttr("loss")),
       b.getNamedAttr(entry::kRole, b.getStringAttr(entry::kOutput))})};
  unsigned first = step.getNumArguments() - adjoint.accumulators.size();
  for (auto [i, pair] : llvm::enumerate(adjoint.accumulators)) {
    results.push_back(pair.second);
    NamedAttrList named(step.getArgAttrDict(first + i));
    named.set(entry::kAlias, b.getI64IntegerAttr(first + i));
    attrs.push_back(named.getDictionary(step.getContext()));
  }
  ret->setOperands(results);
  step.setType(b.getFunctionType(step.getArgumentTypes(),
                                 ValueRange(results).getTypes()));
  step.setAllResultAttrs(attrs);
}

static void eraseDeadOps(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
    for (Region &region : op.getRegions())
      for (Block &inner : region)
        eraseDeadOps(inner);
    if (isOpTriviallyDead(&op))
      op.erase();
  }
}

static bool isFloat(Value value) {
  return isa<FloatType>(getElementTypeOrSelf(value.getType()));
}

FailureOr<func::FuncOp> qwen::differentiate(func::FuncOp func) {
  auto module = func->getParentOfType<ModuleOp>();
  OpBuilder b(func.getContext());
  b.setInsertionPointAfter(func);
  auto result =
      func::FuncOp::create(b, func.getLoc(), func.getSymName().str() + "_grad",
                           func.getFunctionType());
  IRMapping map;
  func.getBody().cloneInto(&result.getBody(), map);
  saveForBackward(result);

  Block &body = result.getBody().front();
  Operation *ret = body.getTerminator();
  b.setInsertionPoint(ret);
  StepAdjoint adjoint(b, module);
  SmallVector<Value> inputs(body.getArguments());
  for (Value value : SmallVector<Value>(ret->getOperands()))
    if (isFloat(value))
      adjoint.add(value, body.addArgument(value.getType(), value.getLoc()));
  for (auto param : module.getOps<ParamOp>()) {
    Type type = param.getType();
    if (param.getLayers())
      type = LayersOp::stack(type, *param.getLayers());
    adjoint.accumulators[param.getSymNameAttr()] =
        ZerosOp::create(b, param.getLoc(), type);
  }
  if (failed(adjoint.run(body))) {
    result.erase();
    return failure();
  }

  SmallVector<Value> results;
  for (Value value : ret->getOperands()) {
    Value other = adjoint.replaced.lookup(value);
    results.push_back(other ? other : value);
  }
  for (Value input : inputs) {
    if (!isFloat(input))
      continue;
    Value gradient = adjoint.grad(input);
    results.push_back(
        gradient ? gradient
                 : ZerosOp::create(b, input.getLoc(), input.getType()));
  }
  for (auto &[symbol, gradient] : adjoint.accumulators)
    results.push_back(gradient);
  ret->setOperands(results);
  result.setType(b.getFunctionType(body.getArgumentTypes(),
                                   ValueRange(results).getTypes()));
  eraseDeadOps(body);
  return result;
}

void ReverseAutodiff::runOnOperation() {
  ModuleOp module = getOperation();
  auto loss = module.lookupSymbol<func::FuncOp>(from);
  if (!loss)
    return;
  SmallVector<ParamOp> params(module.getOps<ParamOp>());
  OpBuilder b(&getContext());
  StepAdjoint adjoint(b, module);
  func::FuncOp step = makeStep(loss, params, adjoint);
  module.insert(std::next(loss->getIterator()), step);
  saveForBackward(step);

  Block &body = step.getBody().front();
  Operation *ret = body.getTerminator();
  b.setInsertionPoint(ret);
  Value lossValue = ret->getOperand(0);
  unsigned invCount = step.getNumArguments() - params.size() - 1;
  adjoint.grads[lossValue] = step.getArgument(invCount);
  if (failed(adjoint.run(body)))
    return signalPassFailure();
  if (Value other = adjoint.replaced.lookup(lossValue))
    lossValue = other;
  finishStep(step, lossValue, adjoint);
  eraseDeadOps(body);
  // What is measured is the cross entropy alone.
  loss.walk([](Operation *op) {
    if (auto ce = dyn_cast<CrossEntropyOp>(op))
      ce.setZWeight(APFloat(0.0));
    else if (auto ce = dyn_cast<LinearCrossEntropyOp>(op))
      ce.setZWeight(APFloat(0.0));
  });
  numSaved += adjoint.numSaved;
}
