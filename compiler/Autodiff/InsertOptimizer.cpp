//===- InsertOptimizer.cpp - Make the optimizer's entries -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Autodiff/Passes.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>

namespace qwen {
#define GEN_PASS_DEF_INSERTOPTIMIZER
#include "compiler/Autodiff/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {

/// Builds an entry whose arguments are states of parameters.
class EntryBuilder {
public:
  EntryBuilder(ModuleOp module, StringRef name)
      : b(module.getContext()),
        func(func::FuncOp::create(module.getLoc(), name,
                                  b.getFunctionType({}, {}))) {
    module.push_back(func);
    func->setAttr(entry::kEntry, b.getUnitAttr());
    b.setInsertionPointToEnd(func.addEntryBlock());
  }

  Value input(StringRef name, Type type) {
    return argument(
        type, {string(entry::kName, name), string(entry::kRole, entry::kInput)},
        func.getLoc());
  }

  /// A state or storage of `param`, stacked if it has layers.
  Value state(ParamOp param, StringRef role, Type element,
              StringRef storage = {}) {
    auto type = cast<RankedTensorType>(param.getType());
    type = RankedTensorType::get(type.getShape(), element);
    if (param.getLayers())
      type = LayersOp::stack(type, *param.getLayers());
    SmallVector<NamedAttribute> named{
        string(entry::kName, param.getSymName()), string(entry::kRole, role),
        b.getNamedAttr(entry::kParam,
                       FlatSymbolRefAttr::get(param.getSymNameAttr()))};
    if (!storage.empty())
      named.push_back(string(entry::kStorage, storage));
    return argument(type, named, param.getLoc());
  }

  void output(StringRef name, Value value) {
    results.push_back(value);
    resultAttrs.push_back(b.getDictionaryAttr(
        {string(entry::kName, name), string(entry::kRole, entry::kOutput)}));
  }

  /// `value` is the new contents of the state `arg`.
  void donate(Value arg, Value value) {
    unsigned index = cast<BlockArgument>(arg).getArgNumber();
    NamedAttrList named(argAttrs[index]);
    named.set(entry::kAlias, b.getI64IntegerAttr(index));
    results.push_back(value);
    resultAttrs.push_back(named.getDictionary(b.getContext()));
  }

  void finish() {
    func::ReturnOp::create(b, func.getLoc(), results);
    Block &body = func.getBody().front();
    func.setType(b.getFunctionType(body.getArgumentTypes(),
                                   ValueRange(results).getTypes()));
    func.setAllArgAttrs(argAttrs);
    func.setAllResultAttrs(resultAttrs);
  }

  OpBuilder b;
  func::FuncOp func;

private:
  NamedAttribute string(StringRef key, StringRef value) {
    return b.getNamedAttr(key, b.getStringAttr(value));
  }
  Value argument(Type type, ArrayRef<NamedAttribute> named, Location loc) {
    argAttrs.push_back(b.getDictionaryAttr(named));
    return func.getBody().front().addArgument(type, loc);
  }

  SmallVector<DictionaryAttr> argAttrs, resultAttrs;
  SmallVector<Value> results;
};

/// Everything that belongs to one parameter.
struct ParamState {
  ParamOp param;
  Value master, grad, m;
  Value v;       // null for Muon, which has no second moment
  Value compute; // null if parameters are read as masters
};

/// One tensor of a parameter, and what an update makes of it.
using Tensors = SmallVector<Value>;

struct InsertOptimizer
    : public qwen::impl::InsertOptimizerBase<InsertOptimizer> {
  void runOnOperation() override;
  void makeOptimizerStep(ArrayRef<ParamOp> params);
  void makeConvertStorage(ArrayRef<ParamOp> params);
  /// The description of a parameter's group if that is one of Muon, else null.
  DictionaryAttr muonOf(ParamOp param);
  Tensors update(OpBuilder &b, ParamOp param, Tensors in, Value hyper,
                 Value scale);

  /// The element type in which ops read parameters, if it is not the master's.
  Type computeType;
};

} // namespace

static RankedTensorType scalarOf(Type element) {
  return RankedTensorType::get({}, element);
}

static Value sumSquares(OpBuilder &b, Location loc, Value x, Value acc) {
  return SumSquaresOp::create(b, loc, acc.getType(), x, acc);
}

/// The sum of squares of all gradients: layers first, then the rest.
static Value gradientNorm(OpBuilder &b, Location loc,
                          ArrayRef<ParamState> states) {
  Value sum = ZerosOp::create(b, loc, scalarOf(b.getF32Type()));
  // Loops over parameters of equal depth.
  llvm::MapVector<int64_t, SmallVector<Value>> stacks;
  for (ParamState state : states)
    if (auto layers = state.param.getLayers())
      stacks[*layers].push_back(state.grad);
  for (auto &[count, grads] : stacks) {
    auto loop =
        LayersOp::create(b, loc, TypeRange{sum.getType()}, ValueRange{sum},
                         grads, ValueRange(), count, 0, false);
    OpBuilder inner(b.getContext());
    Block &body = loop.getBody().emplaceBlock();
    inner.setInsertionPointToEnd(&body);
    Value acc = body.addArgument(sum.getType(), loc);
    for (Value grad : grads)
      acc = sumSquares(inner, loc,
                       body.addArgument(LayersOp::slice(grad.getType()), loc),
                       acc);
    YieldOp::create(inner, loc, acc, ValueRange(), ValueRange());
    sum = loop.getResult(0);
  }
  for (ParamState state : states)
    if (!state.param.getLayers())
      sum = sumSquares(b, loc, state.grad, sum);
  return sum;
}

DictionaryAttr InsertOptimizer::muonOf(ParamOp param) {
  auto groups =
      getOperation()->getAttrOfType<ArrayAttr>(entry::kOptimizerGroups);
  if (!groups || static_cast<size_t>(param.getGroup()) >= groups.size())
    return nullptr;
  auto group = cast<DictionaryAttr>(groups[param.getGroup()]);
  auto kind = group.getAs<StringAttr>("kind");
  return kind && kind.getValue() == "muon" ? group : nullptr;
}

/// What the orthogonal matrix is multiplied with, from the logical (out, in)
/// shape. Learning rates of one mode mean nothing in another.
static double muonFactor(StringRef mode, ArrayRef<int64_t> shape) {
  double rows = shape[0], columns = shape[1];
  return llvm::StringSwitch<double>(mode)
      .Case("spectral", std::sqrt(std::max(rows, columns)))
      .Case("unit_rms_norm", std::sqrt(rows / columns))
      .Case("match_rms_adamw", 0.2 * std::sqrt(std::max(rows, columns)))
      .Default(std::sqrt(std::max(1.0, rows / columns)));
}

/// New master, gradient, moments and (if given) compute storage.
Tensors InsertOptimizer::update(OpBuilder &b, ParamOp param, Tensors in,
                                Value hyper, Value scale) {
  Location loc = param.getLoc();
  Type type = in[0].getType();
  Tensors out;
  if (DictionaryAttr muon = muonOf(param)) {
    double factor = muonFactor(muon.getAs<StringAttr>("scale").getValue(),
                               cast<RankedTensorType>(type).getShape());
    auto step = MuonOp::create(
        b, loc, type, type, type, in[0], in[1], in[2], hyper, scale,
        b.getI64IntegerAttr(param.getGroup()), muon.getAs<IntegerAttr>("steps"),
        b.getF64FloatAttr(factor),
        muon.getAs<BoolAttr>("nesterov").getValue() ? b.getUnitAttr()
                                                    : UnitAttr(),
        computeType ? b.getUnitAttr() : UnitAttr());
    llvm::append_range(out, step.getResults());
  } else {
    auto step = AdamWOp::create(b, loc, type, type, type, type, in[0], in[1],
                                in[2], in[3], hyper, scale, param.getGroup());
    llvm::append_range(out, step.getResults());
  }
  if (in.size() > out.size())
    out.push_back(CastOp::create(b, loc, in.back().getType(), out[0]));
  return out;
}

/// Runs `build` on the tensors of every parameter: inside a loop for those with
/// layers. `tensors[i]` are replaced by the new ones.
static void
forEachParam(OpBuilder &b, ArrayRef<ParamOp> params,
             MutableArrayRef<Tensors> tensors,
             llvm::function_ref<Tensors(OpBuilder &, ParamOp, Tensors)> build) {
  llvm::MapVector<int64_t, SmallVector<unsigned>> stacks;
  for (auto [i, param] : llvm::enumerate(params)) {
    if (auto layers = ParamOp(param).getLayers())
      stacks[*layers].push_back(i);
    else
      tensors[i] = build(b, param, tensors[i]);
  }
  for (auto &[count, members] : stacks) {
    Location loc = ParamOp(params[members.front()]).getLoc();
    SmallVector<Value> states;
    for (unsigned i : members)
      llvm::append_range(states, tensors[i]);
    auto loop =
        LayersOp::create(b, loc, ValueRange(states).getTypes(), ValueRange(),
                         ValueRange(), states, count, 0, false);
    OpBuilder inner(b.getContext());
    Block &body = loop.getBody().emplaceBlock();
    inner.setInsertionPointToEnd(&body);
    SmallVector<Value> out;
    for (unsigned i : members) {
      Tensors slices;
      for (Value stack : tensors[i])
        slices.push_back(
            body.addArgument(LayersOp::slice(stack.getType()), stack.getLoc()));
      llvm::append_range(out, build(inner, params[i], slices));
    }
    YieldOp::create(inner, loc, ValueRange(), ValueRange(), out);
    unsigned next = 0;
    for (unsigned i : members)
      for (Value &tensor : tensors[i])
        tensor = loop.getResult(next++);
  }
}

void InsertOptimizer::makeOptimizerStep(ArrayRef<ParamOp> params) {
  EntryBuilder entry(getOperation(), "optimizer_step");
  OpBuilder &b = entry.b;
  Location loc = entry.func.getLoc();
  int64_t groups = 1;
  for (ParamOp param : params)
    groups = std::max<int64_t>(groups, param.getGroup() + 1);
  // The manifest promises two groups: decayed and not.
  groups = std::max<int64_t>(groups, 2);
  if (auto all =
          getOperation()->getAttrOfType<ArrayAttr>(entry::kOptimizerGroups))
    groups = std::max<int64_t>(groups, all.size());
  Value hyper =
      entry.input("hyper", RankedTensorType::get({groups, 8}, b.getF32Type()));
  Value skip = entry.input("skip", scalarOf(b.getI32Type()));
  SmallVector<ParamState> states;
  for (ParamOp param : params) {
    Type f32 = b.getF32Type();
    ParamState state{param,
                     entry.state(param, entry::kParameter, f32, "master"),
                     entry.state(param, entry::kGradient, f32),
                     entry.state(param, entry::kMoment1, f32),
                     Value(),
                     Value()};
    if (!muonOf(param))
      state.v = entry.state(param, entry::kMoment2, f32);
    if (computeType)
      state.compute =
          entry.state(param, entry::kParameter, computeType, "compute");
    states.push_back(state);
  }

  Value sum = gradientNorm(b, loc, states);
  auto clip =
      ClipOp::create(b, loc, scalarOf(b.getF32Type()), scalarOf(b.getI32Type()),
                     scalarOf(b.getF32Type()), sum, hyper, skip);
  SmallVector<Tensors> tensors;
  for (ParamState state : states) {
    tensors.push_back({state.master, state.grad, state.m});
    for (Value more : {state.v, state.compute})
      if (more)
        tensors.back().push_back(more);
  }
  SmallVector<Tensors> before = tensors;
  forEachParam(b, params, tensors,
               [&](OpBuilder &inner, ParamOp param, Tensors in) {
                 return update(inner, param, in, hyper, clip.getScale());
               });
  entry.output("grad_norm", clip.getNorm());
  entry.output("nonfinite", clip.getNonfinite());
  for (auto [from, to] : llvm::zip(before, tensors))
    for (auto [arg, value] : llvm::zip(from, to))
      entry.donate(arg, value);
  entry.finish();
}

void InsertOptimizer::makeConvertStorage(ArrayRef<ParamOp> params) {
  EntryBuilder entry(getOperation(), "convert_storage");
  OpBuilder &b = entry.b;
  SmallVector<Tensors> tensors;
  for (ParamOp param : params)
    tensors.push_back(
        {entry.state(param, entry::kParameter, b.getF32Type(), "master"),
         entry.state(param, entry::kParameter, computeType, "compute")});
  SmallVector<Tensors> before = tensors;
  forEachParam(b, params, tensors,
               [&](OpBuilder &inner, ParamOp param, Tensors in) {
                 return Tensors{in[0], CastOp::create(inner, param.getLoc(),
                                                      in[1].getType(), in[0])};
               });
  for (auto [from, to] : llvm::zip(before, tensors))
    for (auto [arg, value] : llvm::zip(from, to))
      if (arg != from.front())
        entry.donate(arg, value);
  entry.finish();
}

void InsertOptimizer::runOnOperation() {
  SmallVector<ParamOp> params(getOperation().getOps<ParamOp>());
  computeType = Type();
  getOperation().walk([&](GetParamOp op) {
    // Quantized forms are for inference; training knows nothing of them.
    if (op.getStorage())
      return;
    Type element = cast<RankedTensorType>(op.getType()).getElementType();
    if (!element.isF32() && !element.isF64())
      computeType = element;
  });
  if (getOperation().lookupSymbol("micro_step"))
    makeOptimizerStep(params);
  if (computeType)
    makeConvertStorage(params);
}
