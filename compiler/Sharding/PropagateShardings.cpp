//===- PropagateShardings.cpp - How every value lies on the mesh ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Parameters, inputs and states are annotated; from them shardings follow in
// program order by the rules of the ops. Only gradient sums go against it: the
// ops that add to one decide over which sub-axes it is partial, and the
// argument of the entry where it comes from is annotated so.
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Annotations.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"
#include "compiler/Sharding/ShardingRules.h"
#include "dialects/Dist/HeadOps.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {
#define GEN_PASS_DEF_PROPAGATESHARDINGS
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {

/// One entry point.
class Propagation {
public:
  Propagation(func::FuncOp entry, ModuleOp module, const SubAxes &mesh)
      : entry(entry), module(module), mesh(mesh) {}

  LogicalResult run();

private:
  LogicalResult visitBlock(Block &block);
  LogicalResult visitLayers(LayersOp layers);
  LogicalResult visit(Operation *op);
  SmallVector<Axes> splitFactors(Operation *op, const ShardingRule &rule);
  void dropBatchAxes(Sharding &sharding);
  void splitResidual(Value residual);
  void scatterSums(Operation *op, const ShardingRule &rule,
                   MutableArrayRef<Axes> factors);
  void merge(Axes &into, const Axes &axes, ArrayRef<Axes> factors);
  /// The partial axes that pass through, and the operands that have them.
  Axes passedOn(Operation *op, const ShardingRule &rule, ArrayRef<Axes> factors,
                SmallVectorImpl<bool> &passes);
  /// Makes a sum, and where it comes from, lie as `sharding`.
  void resolve(Value sum, const Sharding &sharding);
  std::optional<Sharding> of(Value value) const {
    auto it = known.find(value);
    return it == known.end() ? std::nullopt : std::optional(it->second);
  }

  func::FuncOp entry;
  ModuleOp module;
  const SubAxes &mesh;
  DenseMap<Value, Sharding> known;
  /// Of sums whose sharding their ops decide: that of the parameter, which says
  /// how to split what no other operand has (the rows of an embedding).
  DenseMap<Value, Sharding> hints;
};

struct PropagateShardings
    : public qwen::impl::PropagateShardingsBase<PropagateShardings> {
  void runOnOperation() override;
};

} // namespace

//===----------------------------------------------------------------------===//
// One op
//===----------------------------------------------------------------------===//

/// Appends what `axes` has beyond `into`, as far as no other factor uses it; a
/// list that is no continuation is left out.
void Propagation::merge(Axes &into, const Axes &axes, ArrayRef<Axes> factors) {
  if (axes.size() <= into.size() ||
      ArrayRef(axes).take_front(into.size()) != ArrayRef(into))
    return;
  for (int64_t axis : ArrayRef(axes).drop_front(into.size())) {
    if (llvm::any_of(factors, [&](const Axes &used) {
          return llvm::is_contained(used, axis);
        }))
      return;
    into.push_back(axis);
  }
}

/// A sum that is stored split over the batch's sub-axes does not say how to
/// compute what is added to it.
void Propagation::dropBatchAxes(Sharding &sharding) {
  auto batch = entry->getAttrOfType<DenseI64ArrayAttr>(kBatchAttr);
  if (!batch)
    return;
  for (Axes &axes : sharding.dims)
    axes.truncate(llvm::find_if(axes,
                                [&](int64_t axis) {
                                  return llvm::is_contained(batch.asArrayRef(),
                                                            axis);
                                }) -
                  axes.begin());
}

/// Sums and parameters first: what moves between devices then is activations
/// only where the two do not agree.
SmallVector<Axes> Propagation::splitFactors(Operation *op,
                                            const ShardingRule &rule) {
  SmallVector<Axes> factors(rule.sizes.size());
  auto isWeight = [&](unsigned i) {
    Value operand = behindReshapes(op->getOperand(i));
    return static_cast<int>(i) == rule.accumulator ||
           isa_and_nonnull<GetParamOp, PadGroupsOp>(operand.getDefiningOp());
  };
  for (bool weights : {true, false})
    for (unsigned i = 0; i < op->getNumOperands(); ++i) {
      std::optional<Sharding> sharding = of(op->getOperand(i));
      bool isSum = static_cast<int>(i) == rule.accumulator;
      if (auto hint = hints.find(op->getOperand(i));
          isSum && !sharding && hint != hints.end())
        sharding = hint->second;
      if (isWeight(i) != weights || !sharding)
        continue;
      if (isSum)
        dropBatchAxes(*sharding);
      SmallVector<Axes> given =
          axesOfFactors(rule, rule.operands[i], *sharding, mesh);
      for (auto [f, axes] : llvm::enumerate(given))
        if (!rule.replicated[f])
          merge(factors[f], axes, factors);
    }
  if (auto groups = op->getAttrOfType<DenseI64ArrayAttr>(kGroupAxesAttr))
    factors[rule.results[0][cast<PadGroupsOp>(op).position()].back()] =
        Axes(groups.asArrayRef());
  if (rule.batch >= 0)
    if (auto batch = entry->getAttrOfType<DenseI64ArrayAttr>(kBatchAttr))
      factors[rule.batch] = Axes(batch.asArrayRef());
  scatterSums(op, rule, factors);
  return factors;
}

/// Where sequences are split between blocks and `op` needs a sum over those
/// sub-axes, each device takes its part of the sequence. Sums that pass through
/// stay as they are.
void Propagation::scatterSums(Operation *op, const ShardingRule &rule,
                              MutableArrayRef<Axes> factors) {
  auto sequence = entry->getAttrOfType<DenseI64ArrayAttr>(kSequenceAttr);
  SmallVector<bool> passes;
  if (!sequence || !passedOn(op, rule, factors, passes).empty())
    return;
  for (unsigned i = 0; i < op->getNumOperands(); ++i) {
    std::optional<Sharding> sharding = of(op->getOperand(i));
    const TensorFactors &dims = rule.operands[i];
    if (static_cast<int>(i) == rule.accumulator || dims.size() != 3 ||
        dims[1].size() != 1 || !sharding ||
        rule.sizes[dims[1][0]] != entry::maxExtent(entry, "sequence"))
      continue;
    bool isFree = llvm::all_of(sequence.asArrayRef(), [&](int64_t axis) {
      return llvm::is_contained(sharding->partial, axis) &&
             llvm::none_of(factors, [&](const Axes &used) {
               return llvm::is_contained(used, axis);
             });
    });
    unsigned factor = dims[1][0];
    if (isFree && !rule.replicated[factor] && factors[factor].empty())
      factors[factor] = Axes(sequence.asArrayRef());
  }
}

Axes Propagation::passedOn(Operation *op, const ShardingRule &rule,
                           ArrayRef<Axes> factors,
                           SmallVectorImpl<bool> &passes) {
  passes.assign(op->getNumOperands(), false);
  auto partialOf = [&](unsigned i) -> Axes {
    std::optional<Sharding> sharding = of(op->getOperand(i));
    if (!rule.linear[i] || !sharding || sharding->isMax)
      return {};
    bool isFree = llvm::none_of(sharding->partial, [&](int64_t axis) {
      return llvm::any_of(factors, [&](const Axes &used) {
        return llvm::is_contained(used, axis);
      });
    });
    return isFree ? sharding->partial : Axes();
  };
  if (rule.isSum) {
    Axes first = partialOf(0);
    for (unsigned i = 1; i < op->getNumOperands(); ++i)
      if (partialOf(i) != first)
        return {};
    if (!first.empty())
      passes.assign(op->getNumOperands(), true);
    return first;
  }
  for (unsigned i = 0; i < op->getNumOperands(); ++i) {
    Axes partial = partialOf(i);
    if (partial.empty())
      continue;
    passes[i] = true;
    return partial;
  }
  return {};
}

void Propagation::resolve(Value sum, const Sharding &sharding) {
  known[sum] = sharding;
  auto arg = dyn_cast<BlockArgument>(sum);
  if (!arg)
    return;
  auto layers = dyn_cast<LayersOp>(arg.getOwner()->getParentOp());
  if (!layers)
    return;
  Value source = layers->getOperand(arg.getArgNumber());
  bool isCarried = arg.getArgNumber() < layers.getCarried().size();
  resolve(source, isCarried ? sharding : stackOf(sharding));
}

LogicalResult Propagation::visit(Operation *op) {
  std::optional<ShardingRule> rule = getShardingRule(op);
  if (!rule)
    return op->emitOpError("has no sharding rule [Q2205]");
  SmallVector<Axes> factors = splitFactors(op, *rule);
  SmallVector<bool> passes;
  Axes passed = passedOn(op, *rule, factors, passes);

  Shardings operands, results;
  for (auto [i, tensor] : llvm::enumerate(rule->operands)) {
    operands.push_back(shardingOf(tensor, factors));
    Sharding &sharding = operands.back();
    if (passes[i])
      sharding.partial = passed;
  }
  for (auto [r, tensor] : llvm::enumerate(rule->results)) {
    results.push_back(shardingOf(tensor, factors));
    Sharding &sharding = results.back();
    sharding.isMax = rule->isMax;
    Axes partial = passed;
    for (auto [f, axes] : llvm::enumerate(factors)) {
      bool inResult = llvm::any_of(tensor, [&, f = f](const DimFactors &dim) {
        return llvm::is_contained(dim, f);
      });
      if (!inResult)
        llvm::append_range(partial, axes);
    }
    if (rule->isGlobal) {
      partial.clear();
      for (size_t axis = 0; axis < mesh.size(); ++axis)
        partial.push_back(axis);
    }
    llvm::sort(partial);
    sharding.partial = partial;
  }
  Shardings given = results;
  if (rule->accumulator >= 0) {
    Value sum = op->getOperand(rule->accumulator);
    const Sharding &wanted = results[rule->accResult];
    operands[rule->accumulator] = wanted;
    if (std::optional<Sharding> has = of(sum); !has) {
      resolve(sum, wanted);
    } else if (*has != wanted) {
      op->setAttr(kApartAttr, UnitAttr::get(op->getContext()));
      given[rule->accResult] = *has;
    }
  }
  setShardings(op, kOperandsAttr, operands);
  setShardings(op, kResultsAttr, results);
  for (auto [result, sharding] : llvm::zip(op->getResults(), given))
    known[result] = sharding;
  return success();
}

//===----------------------------------------------------------------------===//
// Loops and entries
//===----------------------------------------------------------------------===//

/// What goes from layer to layer is split along its sequence where the entry
/// says so. The sums and norms that read it follow, and its gradient in the
/// reverse loop: what was an all_reduce becomes a reduce_scatter in front of it
/// and an all_gather behind.
void Propagation::splitResidual(Value residual) {
  auto sequence = entry->getAttrOfType<DenseI64ArrayAttr>(kSequenceAttr);
  auto shape = cast<RankedTensorType>(residual.getType()).getShape();
  if (!sequence || shape.size() != 3 ||
      shape[1] != entry::maxExtent(entry, "sequence"))
    return;
  Sharding &sharding = known[residual];
  if (llvm::none_of(sequence.asArrayRef(),
                    [&](int64_t axis) { return sharding.uses(axis); }))
    sharding.dims[1] = Axes(sequence.asArrayRef());
}

LogicalResult Propagation::visitLayers(LayersOp layers) {
  for (auto [init, arg] :
       llvm::zip(layers.getCarried(), layers.getCarriedArgs()))
    if (std::optional<Sharding> sharding = of(init)) {
      known[arg] = sharding->withoutPartial();
      splitResidual(arg);
    }
  for (auto [stacks, args] :
       {std::pair(layers.getSlices(), layers.getSliceArgs()),
        std::pair(layers.getStates(), layers.getStateArgs())})
    for (auto [stack, arg] : llvm::zip(stacks, args)) {
      if (std::optional<Sharding> sharding = of(stack))
        known[arg] = layerOf(*sharding);
      else if (auto hint = hints.find(stack); hint != hints.end())
        hints[arg] = layerOf(Sharding(hint->second));
    }
  if (failed(visitBlock(layers.getBlock())))
    return failure();
  Shardings arguments;
  for (BlockArgument arg : layers.getBlock().getArguments()) {
    // A sum that nothing adds to.
    if (!of(arg))
      resolve(arg, Sharding(cast<RankedTensorType>(arg.getType()).getRank()));
    arguments.push_back(known[arg]);
  }
  setShardings(layers, kArgumentsAttr, arguments);

  auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
  Shardings results;
  for (Value arg : layers.getCarriedArgs())
    results.push_back(known[arg]);
  for (Value saved : yield.getStacked())
    results.push_back(stackOf(known[saved].withoutPartial()));
  for (Value arg : layers.getStateArgs())
    results.push_back(stackOf(known[arg]));
  setShardings(layers, kResultsAttr, results);
  for (auto [result, sharding] : llvm::zip(layers.getResults(), results))
    known[result] = sharding;

  Shardings operands;
  for (Value arg : layers.getCarriedArgs())
    operands.push_back(known[arg]);
  for (Value stack :
       llvm::concat<Value>(SmallVector<Value>(layers.getSlices()),
                           SmallVector<Value>(layers.getStates())))
    operands.push_back(known[stack]);
  setShardings(layers, kOperandsAttr, operands);
  Shardings yielded;
  for (Value arg : layers.getCarriedArgs())
    yielded.push_back(known[arg]);
  for (Value saved : yield.getStacked())
    yielded.push_back(known[saved].withoutPartial());
  for (Value arg : layers.getStateArgs())
    yielded.push_back(known[arg]);
  setShardings(yield, kOperandsAttr, yielded);
  return success();
}

LogicalResult Propagation::visitBlock(Block &block) {
  for (Operation &op : block.without_terminator()) {
    LogicalResult done = success();
    if (auto layers = dyn_cast<LayersOp>(op)) {
      done = visitLayers(layers);
    } else if (auto get = dyn_cast<GetParamOp>(op)) {
      auto param = module.lookupSymbol<ParamOp>(get.getParam());
      known[get.getResult()] =
          get.getStorage()
              ? storedSharding(get, param).getSharding()
              : param->getAttrOfType<ShardingAttr>(kComputeAttr).getSharding();
      setShardings(get, kResultsAttr, known[get.getResult()]);
    } else if (isa<ZerosOp, StartOp>(op)) {
      // The start of a sum lies as that wants it.
      Value zeros = op.getResult(0);
      bool isSum = llvm::any_of(zeros.getUses(), [](OpOperand &use) {
        if (isa<LayersOp>(use.getOwner()))
          return true;
        std::optional<ShardingRule> rule = getShardingRule(use.getOwner());
        return rule &&
               rule->accumulator == static_cast<int>(use.getOperandNumber());
      });
      auto rank = cast<RankedTensorType>(zeros.getType()).getRank();
      if (!isSum)
        known[zeros] = Sharding(rank);
    } else {
      done = visit(&op);
    }
    if (failed(done))
      return failure();
  }
  for (StartOp start : block.getOps<StartOp>()) {
    // What it starts from is not read.
    setShardings(start, kOperandsAttr, known[start.getSum()]);
    setShardings(start, kResultsAttr, known[start.getResult()]);
  }
  // Zeros have what was found for them.
  for (ZerosOp zeros : block.getOps<ZerosOp>()) {
    Value value = zeros.getResult();
    if (!of(value))
      known[value] =
          Sharding(cast<RankedTensorType>(value.getType()).getRank());
    setShardings(zeros, kResultsAttr, known[value]);
  }
  return success();
}

LogicalResult Propagation::run() {
  Block &body = entry.getBody().front();
  auto roleOf = [&](unsigned i) {
    auto role = entry.getArgAttrOfType<StringAttr>(i, entry::kRole);
    return role ? role.getValue() : StringRef();
  };
  auto annotated = [&](unsigned i) {
    return entry.getArgAttrOfType<ShardingAttr>(i, kShardingAttr).getSharding();
  };
  // Gradients that are stored like their parameters are sums of devices: of
  // which, the entry that makes them says.
  bool makesGradients = entry.getSymName() == "micro_step";
  auto isOpen = [&](unsigned i) {
    auto symbol = entry.getArgAttrOfType<FlatSymbolRefAttr>(i, entry::kParam);
    if (!makesGradients || roleOf(i) != entry::kGradient || !symbol)
      return false;
    auto param = module.lookupSymbol<ParamOp>(symbol.getValue());
    Sharding compute =
        param->getAttrOfType<ShardingAttr>(kComputeAttr).getSharding();
    return annotated(i) == (param.getLayers() ? stackOf(compute) : compute);
  };
  for (unsigned i = 0; i < body.getNumArguments(); ++i) {
    Sharding sharding = annotated(i);
    if (isOpen(i)) {
      hints[body.getArgument(i)] = sharding;
      continue;
    }
    known[body.getArgument(i)] = sharding;
  }
  if (failed(visitBlock(body)))
    return failure();

  for (BlockArgument arg : body.getArguments()) {
    if (!of(arg))
      known[arg] = annotated(arg.getArgNumber());
    entry.setArgAttr(arg.getArgNumber(), kShardingAttr,
                     ShardingAttr::get(entry.getContext(), known[arg]));
  }
  Shardings returned;
  for (unsigned r = 0; r < entry.getNumResults(); ++r) {
    if (auto alias = entry.getResultAttrOfType<IntegerAttr>(r, entry::kAlias)) {
      entry.setResultAttr(
          r, kShardingAttr,
          ShardingAttr::get(entry.getContext(),
                            known[body.getArgument(alias.getInt())]));
    }
    returned.push_back(entry.getResultAttrOfType<ShardingAttr>(r, kShardingAttr)
                           .getSharding());
  }
  setShardings(body.getTerminator(), kOperandsAttr, returned);
  return success();
}

void PropagateShardings::runOnOperation() {
  ModuleOp module = getOperation();
  FailureOr<Mesh> mesh = getMesh(module);
  if (failed(mesh))
    return signalPassFailure();
  SubAxes axes = subAxesOf(*mesh);
  if (axes.empty())
    return;
  for (auto func : module.getOps<func::FuncOp>())
    if (func->hasAttr(entry::kEntry) &&
        failed(Propagation(func, module, axes).run()))
      return signalPassFailure();
}
