//===- MemoryPlan.cpp - What a module needs of memory ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Module/MemoryPlan.h"

#include <set>

#include "compiler/Memory/Passes.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace qwen;
namespace json = llvm::json;

int64_t DeviceBytes::total() const {
  int64_t sum = 0;
  for (const auto &[mask, bytes] : byMask)
    sum += bytes;
  return sum;
}

//===----------------------------------------------------------------------===//
// From the manifest
//===----------------------------------------------------------------------===//

static int64_t bytesOf(const json::Object &arg) {
  int64_t bytes = llvm::StringSwitch<int64_t>(*arg.getString("dtype"))
                      .Cases({"bf16", "f16"}, 2)
                      .Cases({"i8", "u8"}, 1)
                      .Case("i64", 8)
                      .Default(4);
  for (const json::Value &dim : *arg.getArray("shape"))
    bytes *= dim.getAsInteger().value_or(1);
  return bytes * *arg.getInteger("count");
}

/// The sub-axes that cut what the argument holds.
static uint64_t maskOf(const json::Object &arg) {
  uint64_t mask = 0;
  if (const json::Array *sharding = arg.getArray("sharding"))
    for (const json::Value &dim : *sharding)
      for (const json::Value &axis : *dim.getAsArray())
        mask |= uint64_t(1) << *axis.getAsInteger();
  return mask;
}

MemoryPlan::State
MemoryPlan::addUp(const json::Object &manifest, ModuleOp module,
                  llvm::ArrayRef<llvm::StringRef> entries) const {
  State state;
  std::set<std::string> seen;
  for (const json::Value &value : *manifest.getArray("entries")) {
    const json::Object &entry = *value.getAsObject();
    if (!llvm::is_contained(entries, *entry.getString("name")))
      continue;
    state.arena = std::max(state.arena, *entry.getInteger("arena_bytes"));
    int64_t saved = *entry.getObject("arena")->getInteger("activations");
    if (saved > state.activations.total()) {
      auto function =
          module.lookupSymbol<func::FuncOp>(*entry.getString("name"));
      auto varying = function->getAttrOfType<DictionaryAttr>(kEntryArena)
                         .getAs<DenseI64ArrayAttr>("varying");
      state.activations = {};
      for (size_t i = 0; varying && i < varying.size(); i += 2)
        state.activations.add(varying[i], varying[i + 1]);
      if (!varying)
        state.activations.add(0, saved);
    }
    for (const json::Value &item : *entry.getArray("args")) {
      const json::Object &arg = *item.getAsObject();
      llvm::StringRef role = *arg.getString("role");
      if (role == entry::kInput || role == entry::kOutput ||
          role == dist::kMeshRole)
        continue;
      // Master and compute storage of the same type that lie alike are the
      // same memory.
      llvm::StringRef storage = arg.getString("storage").value_or("");
      bool packed =
          !storage.empty() && storage != "master" && storage != "compute";
      // Sums of gradients that lie as the summands take their place.
      bool isSum = role == entry::kGradientSum;
      std::string key = ((isSum ? llvm::StringRef(entry::kGradient) : role) +
                         " " + *arg.getString("name") + " " +
                         (packed ? storage : *arg.getString("dtype")) + " " +
                         llvm::Twine(maskOf(arg)))
                            .str();
      if (!seen.insert(key).second)
        continue;
      if (isSum) {
        state.sums += bytesOf(arg);
        continue;
      }
      DeviceBytes &kind = packed                      ? state.packed
                          : role == entry::kParameter ? state.parameters
                          : role == entry::kGradient  ? state.gradients
                          : role == entry::kCache     ? state.cache
                                                      : state.moments;
      kind.add(maskOf(arg), bytesOf(arg));
    }
  }
  return state;
}

MemoryPlan::MemoryPlan(const json::Object &manifest, ModuleOp module) {
  for (const json::Value &value : *manifest.getArray("mesh_axes")) {
    const json::Object &axis = *value.getAsObject();
    mesh.push_back({axis.getString("axis")->str(), *axis.getInteger("size")});
  }
  train = addUp(manifest, module,
                {"micro_step", "last_micro_step", "optimizer_step",
                 "convert_storage", "eval_loss"});
  infer = addUp(manifest, module, {"prefill", "decode"});
}

//===----------------------------------------------------------------------===//
// What --plan says
//===----------------------------------------------------------------------===//

json::Object MemoryPlan::device() const {
  int64_t activations = train.activations.total();
  int64_t trainPeak = train.parameters.total() + train.gradients.total() +
                      train.moments.total() + train.sums + train.arena;
  int64_t inferPeak = infer.parameters.total() + infer.packed.total() +
                      infer.cache.total() + infer.arena;
  return json::Object{
      {"train",
       json::Object{{"peak_bytes", trainPeak},
                    {"parameters", train.parameters.total()},
                    {"gradients", train.gradients.total()},
                    {"optimizer", train.moments.total()},
                    {"activations", activations},
                    {"packed", 0},
                    {"workspace", train.sums + train.arena - activations}}},
      {"infer", json::Object{{"peak_bytes", inferPeak},
                             {"parameters", infer.parameters.total()},
                             {"packed", infer.packed.total()},
                             {"kv_cache", infer.cache.total()},
                             {"workspace", infer.arena}}},
      {"host", kHostBytes}};
}

json::Object MemoryPlan::copiesOf(const DeviceBytes &bytes) const {
  std::vector<std::string> axes; // innermost first
  for (const SubAxis &axis : llvm::reverse(mesh))
    if (axes.empty() || axes.back() != axis.axis)
      axes.push_back(axis.axis);
  int64_t global = 0;
  std::map<std::string, int64_t> copies;
  for (const auto &[mask, local] : bytes.byMask) {
    int64_t held = local;
    for (auto [i, axis] : llvm::enumerate(mesh))
      if (mask >> i & 1)
        held *= axis.size;
    global += held;
    for (const std::string &name : axes) {
      int64_t times = 1;
      for (auto [i, axis] : llvm::enumerate(mesh))
        if (axis.axis == name && !(mask >> i & 1))
          times *= axis.size;
      copies[name] += held * (times - 1);
      held *= times;
    }
  }
  json::Object byAxis;
  for (const std::string &name : axes)
    byAxis[name] = copies[name];
  return json::Object{{"global", global}, {"copies", std::move(byAxis)}};
}

std::optional<json::Object> MemoryPlan::replication() const {
  if (mesh.empty())
    return std::nullopt;
  return json::Object{
      {"train", json::Object{{"parameters", copiesOf(train.parameters)},
                             {"gradients", copiesOf(train.gradients)},
                             {"optimizer", copiesOf(train.moments)},
                             {"activations", copiesOf(train.activations)}}},
      {"infer", json::Object{{"parameters", copiesOf(infer.parameters)},
                             {"packed", copiesOf(infer.packed)},
                             {"kv_cache", copiesOf(infer.cache)}}}};
}
