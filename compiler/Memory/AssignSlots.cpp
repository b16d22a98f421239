//===- AssignSlots.cpp - The arguments of an entry by slot ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Memory/Passes.h"
#include "compiler/Sharding/Annotations.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

namespace qwen {
#define GEN_PASS_DEF_ASSIGNSLOTS
#include "compiler/Memory/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
struct AssignSlots : public qwen::impl::AssignSlotsBase<AssignSlots> {
  void runOnOperation() override;
  void runOnEntry(func::FuncOp func);
};

/// The list under construction.
class SlotList {
public:
  explicit SlotList(Builder &b) : b(b) {}

  /// Appends an argument and returns its first slot.
  int64_t add(ArrayRef<NamedAttribute> attrs, Type type, int64_t count) {
    SmallVector<NamedAttribute> entry(attrs);
    entry.push_back(b.getNamedAttr("type", TypeAttr::get(type)));
    entry.push_back(b.getNamedAttr("slot", b.getI64IntegerAttr(next)));
    entry.push_back(b.getNamedAttr("count", b.getI64IntegerAttr(count)));
    list.push_back(b.getDictionaryAttr(entry));
    next += count;
    return next - count;
  }
  ArrayAttr get() { return b.getArrayAttr(list); }

private:
  Builder &b;
  int64_t next = 0;
  SmallVector<Attribute> list;
};
} // namespace

/// The number of layers of a stacked argument (a state or storage of a
/// parameter with layers, a cache), or nothing.
static std::optional<int64_t> layersOf(ModuleOp module, DictionaryAttr attrs,
                                       Type type) {
  if (auto param = attrs.getAs<FlatSymbolRefAttr>(entry::kParam)) {
    auto op = module.lookupSymbol<ParamOp>(param.getValue());
    return op ? op.getLayers() : std::nullopt;
  }
  auto role = attrs.getAs<StringAttr>(entry::kRole);
  if (role && role.getValue() == entry::kCache)
    return cast<RankedTensorType>(type).getDimSize(0);
  return std::nullopt;
}

/// What the manifest keeps of argument or result attributes.
static SmallVector<NamedAttribute> described(Builder &b, DictionaryAttr attrs) {
  SmallVector<NamedAttribute> kept;
  auto keep = [&](StringRef from, StringRef to) {
    if (Attribute attr = attrs.get(from))
      kept.push_back(b.getNamedAttr(to, attr));
  };
  keep(entry::kName, "name");
  keep(entry::kRole, "role");
  keep(entry::kStorage, "storage");
  keep(entry::kParam, "parameter");
  keep(entry::kOptional, "optional");
  keep(dist::kShardingAttr, "sharding");
  keep(dist::kAxesAttr, "axes");
  keep(dist::kScaleAttr, "scale");
  return kept;
}

void AssignSlots::runOnEntry(func::FuncOp func) {
  Builder b(&getContext());
  SlotList slots(b);
  for (auto [i, type] : llvm::enumerate(func.getArgumentTypes())) {
    DictionaryAttr attrs = func.getArgAttrDict(i);
    std::optional<int64_t> layers = layersOf(getOperation(), attrs, type);
    SmallVector<NamedAttribute> entry = described(b, attrs);
    for (unsigned r = 0; r < func.getNumResults(); ++r)
      if (auto alias = func.getResultAttrOfType<IntegerAttr>(r, entry::kAlias))
        if (alias.getInt() == static_cast<int64_t>(i))
          entry.push_back(b.getNamedAttr("donated", b.getUnitAttr()));
    slots.add(entry, layers ? LayersOp::slice(type) : type, layers.value_or(1));
  }
  // Parameters, by symbol and storage, in the order of their first use.
  llvm::MapVector<std::pair<StringAttr, Attribute>, int64_t> params;
  func.walk([&](GetParamOp op) {
    auto [it, isNew] =
        params.try_emplace({op.getParamAttr().getAttr(),
                            storageKey(op.getStorageAttr(), op.getType())},
                           0);
    if (!isNew)
      return;
    auto param = getOperation().lookupSymbol<ParamOp>(op.getParam());
    SmallVector<NamedAttribute> attrs = {
        b.getNamedAttr("name", op.getParamAttr().getAttr()),
        b.getNamedAttr("role", b.getStringAttr(entry::kParameter)),
        b.getNamedAttr("storage", op.getStorageAttr()
                                      ? op.getStorageAttr()
                                      : b.getStringAttr("compute")),
        b.getNamedAttr("parameter", op.getParamAttr())};
    if (dist::ShardingAttr sharding = storedSharding(op, param))
      attrs.push_back(b.getNamedAttr("sharding", sharding));
    it->second = slots.add(attrs, op.getType(), param.getLayers().value_or(1));
  });
  for (unsigned r = 0; r < func.getNumResults(); ++r)
    if (!func.getResultAttr(r, entry::kAlias))
      slots.add(described(b, func.getResultAttrDict(r)),
                func.getResultTypes()[r], 1);
  func->setAttr(kEntryArgs, slots.get());
}

void AssignSlots::runOnOperation() {
  for (auto func : getOperation().getOps<func::FuncOp>())
    if (func->hasAttr(entry::kEntry))
      runOnEntry(func);
}
