//===- Partition.cpp - From logical tensors to those of one device --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Annotations.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"
#include "compiler/Sharding/ReshardPlan.h"
#include "compiler/Sharding/ShardingRules.h"
#include "dialects/Dist/HeadOps.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {
#define GEN_PASS_DEF_PARTITION
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {

/// One entry point.
class Partitioner {
public:
  Partitioner(func::FuncOp entry, const SubAxes &mesh)
      : entry(entry), mesh(mesh), b(entry.getContext()) {}

  LogicalResult run();

private:
  LogicalResult setLocal(Value value, const Sharding &sharding);
  /// The argument that holds `scale` times the device's place along `axes`.
  Value placeArgument(ArrayRef<int64_t> axes, int64_t scale);
  void shiftIndices(Operation *op);
  void placeGroups(PadGroupsOp op);
  void expand(ReshardOp op);

  func::FuncOp entry;
  const SubAxes &mesh;
  OpBuilder b;
  std::map<std::pair<std::vector<int64_t>, int64_t>, Value> places;
};

struct Partition : public qwen::impl::PartitionBase<Partition> {
  void runOnOperation() override;
};

} // namespace

LogicalResult Partitioner::setLocal(Value value, const Sharding &sharding) {
  auto type = cast<RankedTensorType>(value.getType());
  RankedTensorType local = localType(type, sharding, mesh);
  if (!local)
    return emitError(value.getLoc())
           << "a tensor of type " << type << " is not divided by its sharding "
           << sharding.str() << " [Q2206]";
  value.setType(local);
  return success();
}

Value Partitioner::placeArgument(ArrayRef<int64_t> axes, int64_t scale) {
  Value &place = places[{axes.vec(), scale}];
  if (place)
    return place;
  unsigned index = entry.getNumArguments();
  auto type = RankedTensorType::get({}, b.getI32Type());
  std::string name = "place" + std::to_string(places.size() - 1);
  auto attrs = b.getDictionaryAttr(
      {b.getNamedAttr(entry::kName, b.getStringAttr(name)),
       b.getNamedAttr(entry::kRole, b.getStringAttr(kMeshRole)),
       b.getNamedAttr(kAxesAttr, b.getDenseI64ArrayAttr(axes)),
       b.getNamedAttr(kScaleAttr, b.getI64IntegerAttr(scale)),
       b.getNamedAttr(kShardingAttr,
                      ShardingAttr::get(b.getContext(), Sharding(0)))});
  (void)entry.insertArgument(index, type, attrs, entry.getLoc());
  return place = entry.getArgument(index);
}

/// Numbers along a dimension that is split count from the device's first.
void Partitioner::shiftIndices(Operation *op) {
  std::optional<ShardingRule> rule = getShardingRule(op);
  if (!rule || rule->indices < 0)
    return;
  Shardings operands = getShardings(op, kOperandsAttr);
  for (auto [i, tensor] : llvm::enumerate(rule->operands))
    for (auto [d, dim] : llvm::enumerate(tensor)) {
      if (!llvm::is_contained(dim, rule->indexed))
        continue;
      const Axes &axes = operands[i].dims[d];
      if (axes.empty())
        return;
      auto type = cast<RankedTensorType>(op->getOperand(i).getType());
      int64_t size = type.getDimSize(d) / numParts(axes, mesh);
      b.setInsertionPoint(op);
      Value ids = op->getOperand(rule->indices);
      auto local = LocalIdsOp::create(b, op->getLoc(), ids.getType(), ids,
                                      placeArgument(axes, -size));
      setShardings(local, kResultsAttr, operands[rule->indices]);
      op->setOperand(rule->indices, local);
      return;
    }
}

/// The device's part of padded groups begins at its place in them.
void Partitioner::placeGroups(PadGroupsOp op) {
  std::optional<ShardingRule> rule = getShardingRule(op);
  bool pads = op.size() > op.width();
  unsigned groups = rule->operands[0][op.position()][0];
  SmallVector<Axes> factors =
      pads ? axesOfFactors(*rule, rule->results[0],
                           getShardings(op, kResultsAttr)[0], mesh)
           : axesOfFactors(*rule, rule->operands[0],
                           getShardings(op, kOperandsAttr)[0], mesh);
  const Axes &split = factors[groups + (pads ? 2 : 1)];
  int64_t size = (pads ? op.size() : op.width()) / numParts(split, mesh);
  b.setInsertionPoint(op);
  Value start;
  if (!split.empty())
    start = placeArgument(split, pads ? size : -size);
  auto local = PadGroupsOp::create(
      b, op.getLoc(), op.getType(), op.getOperand(), start, op.getDim(),
      op.getGroups() / numParts(factors[groups], mesh));
  local->setAttr(kResultsAttr, op->getAttr(kResultsAttr));
  op.replaceAllUsesWith(local.getResult());
  op.erase();
}

/// Makes collectives of a reshard; types are local already.
void Partitioner::expand(ReshardOp op) {
  Sharding from = op.getFrom().getSharding();
  auto steps = planReshard(from, op.getTo().getSharding());
  b.setInsertionPoint(op);
  Location loc = op.getLoc();
  Value value = op.getOperand();
  for (const ReshardStep &step : *steps) {
    auto type = cast<RankedTensorType>(value.getType());
    SmallVector<int64_t> shape(type.getShape());
    int64_t parts = numParts(step.axes, mesh);
    auto scaled = [&](int64_t multiply, int64_t divide) {
      if (multiply >= 0)
        shape[multiply] *= parts;
      if (divide >= 0)
        shape[divide] /= parts;
      return RankedTensorType::get(shape, type.getElementType());
    };
    switch (step.kind) {
    case ReshardStep::AllReduce:
      value = AllReduceOp::create(b, loc, type, value, step.axes, from.isMax);
      break;
    case ReshardStep::ReduceScatter:
      value = ReduceScatterOp::create(b, loc, scaled(-1, step.dim), value,
                                      step.axes, step.dim, false);
      break;
    case ReshardStep::AllGather:
      value = AllGatherOp::create(b, loc, scaled(step.dim, -1), value,
                                  step.axes, step.dim, false);
      break;
    case ReshardStep::AllToAll:
      value = AllToAllOp::create(b, loc, scaled(step.dim, step.split), value,
                                 step.axes, step.dim, step.split, false);
      break;
    case ReshardStep::Slice:
      value = SliceOp::create(b, loc, scaled(-1, step.dim), value,
                              placeArgument(step.axes, 1),
                              type.getRank() - 1 - step.dim, parts);
      break;
    }
    if (Attribute attr = op->getAttr(kOfParameterAttr))
      value.getDefiningOp()->setAttr(kOfParameterAttr, attr);
  }
  op.replaceAllUsesWith(value);
  op.erase();
}

LogicalResult Partitioner::run() {
  SmallVector<Operation *> ops;
  entry.walk([&](Operation *op) { ops.push_back(op); });
  for (Operation *op : ops) {
    shiftIndices(op);
    if (auto pad = dyn_cast<PadGroupsOp>(op))
      placeGroups(pad);
  }
  ops.clear();
  entry.walk([&](Operation *op) { ops.push_back(op); });

  SmallVector<ReshardOp> reshards;
  for (Operation *op : ops) {
    if (isa<qwen::SumSquaresOp>(op)) {
      int64_t parts = 1;
      Shardings operands = getShardings(op, kOperandsAttr);
      for (const Axes &axes : operands[0].dims)
        parts *= numParts(axes, mesh);
      b.setInsertionPoint(op);
      auto once = dist::SumSquaresOp::create(
          b, op->getLoc(), op->getResult(0).getType(), op->getOperand(0),
          op->getOperand(1), numDevices(mesh) / parts);
      once->setAttr(kResultsAttr, op->getAttr(kResultsAttr));
      op->replaceAllUsesWith(once);
      op->erase();
      op = once;
    }
    Shardings results = getShardings(op, kResultsAttr);
    for (auto [result, sharding] : llvm::zip(op->getResults(), results))
      if (failed(setLocal(result, sharding)))
        return failure();
    if (auto layers = dyn_cast<LayersOp>(op))
      for (auto [arg, sharding] : llvm::zip(layers.getBlock().getArguments(),
                                            getShardings(op, kArgumentsAttr)))
        if (failed(setLocal(arg, sharding)))
          return failure();
    if (auto reshard = dyn_cast<ReshardOp>(op))
      reshards.push_back(reshard);
    for (StringRef name : {kOperandsAttr, kResultsAttr, kArgumentsAttr})
      op->removeAttr(name);
  }
  for (BlockArgument arg : entry.getArguments())
    if (failed(setLocal(arg, entry
                                 .getArgAttrOfType<ShardingAttr>(
                                     arg.getArgNumber(), kShardingAttr)
                                 .getSharding())))
      return failure();
  for (ReshardOp reshard : reshards)
    expand(reshard);

  Block &body = entry.getBody().front();
  SmallVector<Type> types;
  for (BlockArgument arg : body.getArguments())
    types.push_back(arg.getType());
  entry.setType(
      b.getFunctionType(types, body.getTerminator()->getOperandTypes()));
  if (auto batch = entry->getAttrOfType<DenseI64ArrayAttr>(kBatchAttr)) {
    NamedAttrList extents(
        entry->getAttrOfType<DictionaryAttr>(entry::kExtents));
    int64_t parts = numParts(batch.asArrayRef(), mesh);
    extents.set("batch",
                b.getI64IntegerAttr(entry::maxExtent(entry, "batch") / parts));
    entry->setAttr(entry::kExtents, extents.getDictionary(b.getContext()));
    entry->removeAttr(kBatchAttr);
  }
  if (auto sequence = entry->getAttrOfType<DenseI64ArrayAttr>(kSequenceAttr)) {
    entry->setAttr(kSequencePartsAttr,
                   b.getI64IntegerAttr(numParts(sequence.asArrayRef(), mesh)));
    entry->removeAttr(kSequenceAttr);
  }
  return success();
}

void Partition::runOnOperation() {
  ModuleOp module = getOperation();
  FailureOr<Mesh> found = getMesh(module);
  if (failed(found))
    return signalPassFailure();
  SubAxes mesh = subAxesOf(*found);
  if (mesh.empty())
    return;
  for (auto entry : module.getOps<func::FuncOp>())
    if (entry->hasAttr(entry::kEntry) && failed(Partitioner(entry, mesh).run()))
      return signalPassFailure();
  for (auto param : module.getOps<ParamOp>()) {
    auto stored = param->getAttrOfType<ShardingAttr>(kShardingAttr);
    param.setType(localType(cast<RankedTensorType>(param.getType()),
                            stored.getSharding(), mesh));
  }
}
