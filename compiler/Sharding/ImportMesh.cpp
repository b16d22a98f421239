//===- ImportMesh.cpp - The mesh, and how parameters and states lie on it -===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"
#include "dialects/Dist/HeadOps.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/Storage.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/StringSwitch.h"

namespace qwen {
#define GEN_PASS_DEF_IMPORTMESH
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {
class ImportMesh : public qwen::impl::ImportMeshBase<ImportMesh> {
  void runOnOperation() override;

  LogicalResult readRules();
  LogicalResult annotate(ParamOp param);
  void annotate(PadGroupsOp pad);
  void annotate(GetParamOp get);
  LogicalResult annotate(func::FuncOp entry);
  void splitResidual(func::FuncOp entry);
  Axes axesOf(StringRef logical);
  Axes axesOf(StringRef logical, ParamOp param);
  int64_t dim(StringRef name);
  Axes splitDim(ParamOp param, StringRef product, int64_t size);
  Sharding storageOf(Sharding sharding, ArrayRef<int64_t> shape);
  Sharding stateSharding(func::FuncOp entry, DictionaryAttr attrs,
                         bool hasCompute);

  Mesh mesh;
  SubAxes axes;
  llvm::StringMap<std::string> rules;
  DictionaryAttr dims;
  int64_t zero = 0;
  bool padsHeads = false;
  bool splitsResidual = false;
  Axes batchAxes;
};
} // namespace

//===----------------------------------------------------------------------===//
// Rules
//===----------------------------------------------------------------------===//

LogicalResult ImportMesh::readRules() {
  rules.clear();
  dims = {};
  zero = 0;
  padsHeads = false;
  splitsResidual = false;
  auto parallel = getOperation()->getAttrOfType<DictionaryAttr>(kParallelAttr);
  if (!parallel) {
    for (StringRef logical : {"heads", "kv_heads", "ffn", "vocab"})
      rules[logical] = "tensor";
    rules["batch"] = "data";
    return success();
  }
  dims = parallel.getAs<DictionaryAttr>("dims");
  getOperation().walk([&](PadGroupsOp) { padsHeads = true; });
  if (auto splits = parallel.getAs<BoolAttr>("sequence_residual"))
    splitsResidual = splits.getValue();
  if (auto level = parallel.getAs<IntegerAttr>("zero"))
    zero = level.getInt();
  if (auto map = parallel.getAs<DictionaryAttr>("rules"))
    for (NamedAttribute rule : map) {
      StringRef axis = cast<StringAttr>(rule.getValue()).getValue();
      bool known = axis == "data" || axis == "tensor" ||
                   llvm::any_of(mesh, [&](auto &a) { return a.first == axis; });
      if (!known)
        return getOperation().emitError("unknown mesh axis '")
               << axis << "' in the rule of '" << rule.getName().getValue()
               << "' [Q2204]";
      rules[rule.getName().getValue()] = axis.str();
    }
  return success();
}

Axes ImportMesh::axesOf(StringRef logical) {
  auto it = rules.find(logical);
  return it == rules.end() ? Axes() : subAxesOf(it->second, axes);
}

/// As the parameter's own rules say, if it has some.
Axes ImportMesh::axesOf(StringRef logical, ParamOp param) {
  auto own = param->getAttrOfType<DictionaryAttr>(kRulesAttr);
  if (!own)
    return axesOf(logical);
  auto axis = own.getAs<StringAttr>(logical);
  return axis ? subAxesOf(axis.getValue(), axes) : Axes();
}

int64_t ImportMesh::dim(StringRef name) {
  auto attr = dims ? dims.getAs<IntegerAttr>(name) : IntegerAttr();
  return attr ? attr.getInt() : 0;
}

/// The sub-axes of a dimension whose logical axes are `product`, as
/// `heads*head_dim`: the rule's of the first of them, as many as divide it.
/// Query heads are groups of one key head each: groups are kept whole until
/// there is one of them to a device.
Axes ImportMesh::splitDim(ParamOp param, StringRef product, int64_t size) {
  StringRef logical = product.split('*').first;
  Axes wanted = axesOf(logical, param);
  if (wanted.empty())
    return {};
  int64_t count = logical == product ? size : dim(logical);
  if (!count)
    return {};
  Axes taken;
  int64_t groups = logical == "heads" ? dim("kv_heads") : 0;
  if (groups && count % groups == 0) {
    taken = dividingPrefix(wanted, groups, axes);
    // Heads of groups that are padded are split where they are read.
    if (numParts(taken, axes) == groups && !padsHeads)
      llvm::append_range(
          taken, dividingPrefix(ArrayRef(wanted).drop_front(taken.size()),
                                count / groups, axes));
  } else {
    taken = dividingPrefix(wanted, count, axes);
  }
  if (taken.size() != wanted.size())
    remark::missed(param.getLoc(), remark::RemarkOpts::name("replicated")
                                       .category("import-mesh")
                                       .function(param.getSymName()))
        << remark::reason(
               "{0} = {1} is split into {2} parts of {3}: the other devices "
               "hold copies",
               logical, count, numParts(taken, axes), numParts(wanted, axes));
  return taken;
}

/// `sharding` with the batch's sub-axes too, on the first dimension that they
/// divide wholly, else on the first that takes some of them.
Sharding ImportMesh::storageOf(Sharding sharding, ArrayRef<int64_t> shape) {
  int64_t best = -1;
  Axes taken;
  for (auto [i, size] : llvm::enumerate(shape)) {
    Axes prefix = dividingPrefix(batchAxes,
                                 size / numParts(sharding.dims[i], axes), axes);
    if (prefix.size() > taken.size()) {
      best = i;
      taken = prefix;
    }
  }
  if (best >= 0)
    llvm::append_range(sharding.dims[best], taken);
  return sharding;
}

//===----------------------------------------------------------------------===//
// Parameters and entry points
//===----------------------------------------------------------------------===//

LogicalResult ImportMesh::annotate(ParamOp param) {
  auto type = cast<RankedTensorType>(param.getType());
  Sharding sharding;
  for (auto [i, product] :
       llvm::enumerate(param.getAxes().getAsValueRange<StringAttr>())) {
    Axes taken = splitDim(param, product, type.getDimSize(i));
    for (int64_t axis : taken)
      if (sharding.uses(axis))
        return param.emitError("parameter ")
               << param.getSymName() << " is split twice over the mesh axis '"
               << axes[axis].axis << "': the rules give it to two of its "
               << "dimensions [Q2203]";
    sharding.dims.push_back(taken);
  }
  Sharding storage = zero > 0 ? storageOf(sharding, type.getShape()) : sharding;
  MLIRContext *context = &getContext();
  param->setAttr(kComputeAttr, ShardingAttr::get(context, sharding));
  param->setAttr(kShardingAttr,
                 ShardingAttr::get(context, zero >= 3 ? storage : sharding));
  param->setAttr(kStorageAttr, ShardingAttr::get(context, storage));
  return success();
}

/// The sub-axes of the heads that groups are not split over.
void ImportMesh::annotate(PadGroupsOp pad) {
  int64_t headDim = dim("head_dim");
  if (pad.size() < pad.width() || headDim == 0)
    return;
  Axes wanted = axesOf("heads");
  Axes groups = dividingPrefix(wanted, pad.getGroups(), axes);
  Axes inGroup = dividingPrefix(ArrayRef(wanted).drop_front(groups.size()),
                                pad.size() / headDim, axes);
  if (!inGroup.empty())
    pad->setAttr(kGroupAxesAttr,
                 DenseI64ArrayAttr::get(&getContext(), inGroup));
}

/// A part of a quantized form lies as ops read the matrix, of whose columns it
/// holds all, whole groups, or none.
void ImportMesh::annotate(GetParamOp get) {
  if (!get.getStorage())
    return;
  auto param = getOperation().lookupSymbol<ParamOp>(get.getParam());
  Sharding sharding =
      param->getAttrOfType<ShardingAttr>(kComputeAttr).getSharding();
  bool isGrouped = *get.getStorage() == storage::kInt4 ||
                   *get.getStorage() == storage::kInt4Step;
  if (isGrouped)
    sharding.dims[1] = dividingPrefix(
        sharding.dims[1],
        cast<RankedTensorType>(param.getType()).getDimSize(1) / storage::kGroup,
        axes);
  sharding.dims.resize(cast<RankedTensorType>(get.getType()).getRank());
  get->setAttr(kShardingAttr, ShardingAttr::get(&getContext(), sharding));
}

static Sharding stacked(Sharding sharding) {
  sharding.dims.insert(sharding.dims.begin(), Axes());
  return sharding;
}

/// The sharding of a state of a parameter. The update reads gradients where the
/// optimizer's state lies; those of micro steps are sums that
/// `propagate-shardings` finds, unless they are stored split.
Sharding ImportMesh::stateSharding(func::FuncOp entry, DictionaryAttr attrs,
                                   bool hasCompute) {
  auto symbol = attrs.getAs<FlatSymbolRefAttr>(entry::kParam);
  auto param = getOperation().lookupSymbol<ParamOp>(symbol.getValue());
  auto get = [&](StringRef name) {
    Sharding sharding = param->getAttrOfType<ShardingAttr>(name).getSharding();
    return param.getLayers() ? stacked(sharding) : sharding;
  };
  StringRef role = attrs.getAs<StringAttr>(entry::kRole).getValue();
  if (role == entry::kGradient)
    return get(zero >= 2 || entry.getSymName() == "optimizer_step"
                   ? kStorageAttr
                   : kComputeAttr);
  if (role != entry::kParameter)
    return get(kStorageAttr);
  // Masters are optimizer state if ops read another storage.
  auto storage = attrs.getAs<StringAttr>(entry::kStorage);
  bool isMaster = storage && storage.getValue() == "master";
  return get(isMaster && hasCompute ? kStorageAttr : kShardingAttr);
}

/// Training splits sequences between blocks too, as far as they divide.
void ImportMesh::splitResidual(func::FuncOp entry) {
  int64_t sequence = entry::maxExtent(entry, "sequence");
  Axes wanted = axesOf("sequence");
  Axes taken = dividingPrefix(wanted, sequence, axes);
  if (taken.size() != wanted.size())
    remark::missed(entry.getLoc(), remark::RemarkOpts::name("replicated")
                                       .category("import-mesh")
                                       .function(entry.getSymName()))
        << remark::reason("sequences of {0} are split into {1} parts of {2} "
                          "between blocks: the other devices hold copies",
                          sequence, numParts(taken, axes),
                          numParts(wanted, axes));
  if (!taken.empty())
    entry->setAttr(kSequenceAttr, DenseI64ArrayAttr::get(&getContext(), taken));
}

LogicalResult ImportMesh::annotate(func::FuncOp entry) {
  Builder b(&getContext());
  bool hasBatch = entry->hasAttr(entry::kExtents);
  int64_t batch = entry::maxExtent(entry, "batch");
  StringRef name = entry.getSymName();
  Axes split = hasBatch ? batchAxes : Axes();
  if (batch % numParts(split, axes)) {
    if (name == "micro_step" || name == "eval_loss")
      return entry.emitError("train.batch ")
             << batch << " is not a multiple of the " << numParts(split, axes)
             << " devices that the batch is split over"
             << " (" << axes[split.front()].axis << "=" << numParts(split, axes)
             << ") [Q2202]";
    split.clear();
    remark::missed(entry.getLoc(), remark::RemarkOpts::name("replicated")
                                       .category("import-mesh")
                                       .function(name))
        << remark::reason("a batch of {0} is not split over data: every "
                          "device computes all rows",
                          batch);
  }
  if (hasBatch)
    entry->setAttr(kBatchAttr, b.getDenseI64ArrayAttr(split));
  if (splitsResidual && (name == "micro_step" || name == "eval_loss"))
    splitResidual(entry);
  bool hasCompute = false;
  for (unsigned i = 0; i < entry.getNumArguments(); ++i) {
    auto storage = entry.getArgAttrOfType<StringAttr>(i, entry::kStorage);
    hasCompute |= storage && storage.getValue() == "compute";
  }
  for (auto [i, type] : llvm::enumerate(entry.getArgumentTypes())) {
    auto tensor = cast<RankedTensorType>(type);
    DictionaryAttr attrs = entry.getArgAttrDict(i);
    auto role = attrs.getAs<StringAttr>(entry::kRole);
    Sharding sharding(tensor.getRank());
    if (attrs.get(entry::kParam)) {
      sharding = stateSharding(entry, attrs, hasCompute);
    } else if (role && role.getValue() == entry::kCache) {
      sharding.dims[1] = split;
      sharding.dims[2] =
          dividingPrefix(axesOf("kv_heads"), tensor.getDimSize(2), axes);
    } else if (hasBatch && tensor.getRank() && tensor.getDimSize(0) == batch) {
      sharding.dims[0] = split;
    }
    entry.setArgAttr(i, kShardingAttr,
                     ShardingAttr::get(&getContext(), sharding));
  }
  for (auto [i, type] : llvm::enumerate(entry.getResultTypes())) {
    auto tensor = cast<RankedTensorType>(type);
    Sharding sharding(tensor.getRank());
    if (auto alias = entry.getResultAttrOfType<IntegerAttr>(i, entry::kAlias))
      sharding =
          entry.getArgAttrOfType<ShardingAttr>(alias.getInt(), kShardingAttr)
              .getSharding();
    else if (hasBatch && tensor.getRank() && tensor.getDimSize(0) == batch)
      sharding.dims[0] = split;
    entry.setResultAttr(i, kShardingAttr,
                        ShardingAttr::get(&getContext(), sharding));
  }
  return success();
}

void ImportMesh::runOnOperation() {
  ModuleOp module = getOperation();
  if (!module->hasAttr(kMeshAttr))
    setMesh(module, {{"data", 1}});
  FailureOr<Mesh> found = getMesh(module);
  if (failed(found))
    return signalPassFailure();
  mesh = *found;
  axes = subAxesOf(mesh);
  if (axes.empty())
    return;
  if (failed(readRules()))
    return signalPassFailure();
  batchAxes = axesOf("batch");
  for (auto param : module.getOps<ParamOp>())
    if (failed(annotate(param)))
      return signalPassFailure();
  module.walk([&](PadGroupsOp pad) { annotate(pad); });
  module.walk([&](GetParamOp get) { annotate(get); });
  for (auto func : module.getOps<func::FuncOp>())
    if (func->hasAttr(entry::kEntry) && failed(annotate(func)))
      return signalPassFailure();
}
