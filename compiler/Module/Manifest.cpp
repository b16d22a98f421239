//===- Manifest.cpp - What a module says about itself ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Module/Manifest.h"

#include <set>

#include "compiler/Codegen/Cpu/CpuTarget.h"
#include "compiler/Codegen/Passes.h"
#include "compiler/Codegen/ProductTable.h"
#include "compiler/Codegen/Targets.h"
#include "compiler/Memory/Passes.h"
#include "compiler/Module/MemoryPlan.h"
#include "compiler/Sharding/Mesh.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "runtime/abi/qwen_module.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace qwen;
namespace json = llvm::json;

static constexpr llvm::StringLiteral kCpuAttr = "qwen.cpu";
static constexpr char kCompiler[] = "qwenc " QWEN_VERSION;
static constexpr char kBuildId[] = QWEN_VERSION "+llvm" LLVM_VERSION_STRING;
static constexpr int kFormat = 1;

//===----------------------------------------------------------------------===//
// The attribute
//===----------------------------------------------------------------------===//

static std::string print(json::Object document) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << json::Value(std::move(document));
  return text;
}

/// As a resource, which is printed behind the IR, not in front of it.
static void setManifest(ModuleOp module, json::Object document) {
  std::string text = print(std::move(document));
  auto type = RankedTensorType::get({static_cast<int64_t>(text.size())},
                                    IntegerType::get(module.getContext(), 8));
  module->setAttr(kManifestAttr,
                  DenseResourceElementsAttr::get(
                      type, "manifest",
                      HeapAsmResourceBlob::allocateAndCopyInferAlign(
                          ArrayRef<char>(text.data(), text.size()))));
}

FailureOr<json::Object> qwen::getManifest(ModuleOp module) {
  auto resource =
      module->getAttrOfType<DenseResourceElementsAttr>(kManifestAttr);
  AsmResourceBlob *blob =
      resource ? resource.getRawHandle().getBlob() : nullptr;
  if (!blob)
    return module.emitError("expected the model's description in the "
                            "attribute qwen.manifest [Q2301]");
  ArrayRef<char> bytes = blob->getData();
  llvm::Expected<json::Value> value =
      json::parse(StringRef(bytes.data(), bytes.size()));
  if (!value)
    return module.emitError("the attribute qwen.manifest is damaged: ")
           << llvm::toString(value.takeError()) << " [Q2301]";
  if (json::Object *object = value->getAsObject())
    return std::move(*object);
  return module.emitError("the attribute qwen.manifest is not an object "
                          "[Q2301]");
}

void qwen::attachModel(ModuleOp module, const ModelSpec &spec) {
  setMesh(module, spec.mesh.empty() ? Mesh{{"data", 1}} : spec.mesh);
  json::Object mesh;
  for (const auto &[name, size] : spec.mesh)
    mesh[name] = size;
  if (mesh.empty())
    mesh["data"] = 1;
  FlopCounts flops = spec.flopsPerToken();
  setManifest(
      module,
      json::Object{{"format", kFormat},
                   {"abi", QRT_ABI_VERSION},
                   {"name", spec.name},
                   {"compiler", kCompiler},
                   {"build_id", kBuildId},
                   {"dtype", stringifyDType(spec.dtype)},
                   {"mesh", std::move(mesh)},
                   {"architecture", manifestArchitecture(spec)},
                   {"defaults", manifestDefaults(spec)},
                   {"parameters", manifestParameters(spec)},
                   {"num_parameters", spec.numParameters()},
                   {"num_embedding_parameters", spec.numEmbeddingParameters()},
                   {"flops_per_token",
                    json::Object{{"forward", flops.forward},
                                 {"train", flops.train},
                                 {"train_causal", flops.trainCausal}}}});
}

void qwen::attachCpu(ModuleOp module, llvm::StringRef cpu) {
  module->setAttr(kCpuAttr, StringAttr::get(module.getContext(), cpu));
}

//===----------------------------------------------------------------------===//
// Entry points
//===----------------------------------------------------------------------===//

static llvm::StringRef dtypeName(Type element) {
  if (element.isF32())
    return "f32";
  if (element.isBF16())
    return "bf16";
  if (element.isF16())
    return "f16";
  if (element.isInteger(64))
    return "i64";
  if (element.isInteger(8))
    return element.isUnsignedInteger() ? "u8" : "i8";
  return "i32";
}

/// Inputs and outputs are dense at the actual extents: the leading dimensions
/// of integers (tokens, lengths), and all but the last one of floats (logits).
/// States and parameters have their full sizes.
static json::Array shapeOf(RankedTensorType type, llvm::StringRef role,
                           DictionaryAttr extents) {
  json::Array shape;
  bool isDense = role == entry::kInput || role == entry::kOutput;
  int64_t dynamic = 0;
  if (isDense && extents)
    dynamic =
        type.getElementType().isInteger() ? type.getRank() : type.getRank() - 1;
  static constexpr llvm::StringLiteral names[] = {"batch", "sequence"};
  for (int64_t i = 0; i < type.getRank(); ++i) {
    bool isExtent = i < dynamic && i < 2 && extents.get(names[i]);
    if (isExtent)
      shape.push_back(names[i]);
    else
      shape.push_back(type.getDimSize(i));
  }
  return shape;
}

/// A list of sub-axes for each dimension.
static json::Array describe(const dist::Sharding &sharding) {
  json::Array dims;
  for (const dist::Axes &axes : sharding.dims)
    dims.push_back(json::Array(axes));
  return dims;
}

static json::Object describeArgument(DictionaryAttr arg,
                                     DictionaryAttr extents) {
  auto text = [&](llvm::StringRef key) {
    if (auto symbol = arg.getAs<FlatSymbolRefAttr>(key))
      return symbol.getValue();
    auto string = arg.getAs<StringAttr>(key);
    return string ? string.getValue() : llvm::StringRef();
  };
  auto number = [&](llvm::StringRef key) {
    return arg.getAs<IntegerAttr>(key).getInt();
  };
  auto type = cast<RankedTensorType>(arg.getAs<TypeAttr>("type").getValue());
  llvm::StringRef role = text("role"), parameter = text("parameter");
  json::Object object{{"name", parameter.empty() ? text("name") : parameter},
                      {"role", role},
                      {"dtype", dtypeName(type.getElementType())},
                      {"shape", shapeOf(type, role, extents)},
                      {"slot", number("slot")},
                      {"count", number("count")}};
  if (role == entry::kParameter)
    object["storage"] = text("storage");
  for (llvm::StringRef flag : {"donated", "optional"})
    if (arg.get(flag))
      object[flag] = true;
  if (auto sharding = arg.getAs<dist::ShardingAttr>("sharding")) {
    dist::Sharding lies = sharding.getSharding();
    // Slots hold layers.
    if (lies.dims.size() > static_cast<size_t>(type.getRank()))
      lies.dims.erase(lies.dims.begin());
    object["sharding"] = describe(lies);
    if (!lies.partial.empty())
      object["partial"] = json::Array(lies.partial);
  }
  if (role == dist::kMeshRole) {
    object["axes"] =
        json::Array(arg.getAs<DenseI64ArrayAttr>("axes").asArrayRef());
    object["scale"] = number("scale");
  }
  return object;
}

static json::Object describeEntry(func::FuncOp function) {
  auto extents = function->getAttrOfType<DictionaryAttr>(entry::kExtents);
  json::Array extentList;
  if (extents)
    for (NamedAttribute extent : extents) {
      json::Object object{
          {"name", extent.getName().getValue()},
          {"max", cast<IntegerAttr>(extent.getValue()).getInt()}};
      auto parts =
          function->getAttrOfType<IntegerAttr>(dist::kSequencePartsAttr);
      if (parts && extent.getName() == "sequence")
        object["multiple"] = parts.getInt();
      extentList.push_back(std::move(object));
    }
  json::Array args;
  int64_t slots = 0;
  for (auto arg : function->getAttrOfType<ArrayAttr>(kEntryArgs)
                      .getAsRange<DictionaryAttr>()) {
    args.push_back(describeArgument(arg, extents));
    slots += arg.getAs<IntegerAttr>("count").getInt();
  }
  auto arena = function->getAttrOfType<DictionaryAttr>(kEntryArena);
  auto bytes = [&](llvm::StringRef key) {
    return arena.getAs<IntegerAttr>(key).getInt();
  };
  return json::Object{
      {"name", function.getName()},
      {"extents", std::move(extentList)},
      {"arena_bytes", bytes("bytes")},
      {"arena", json::Object{{"activations", bytes("activations")},
                             {"workspace", bytes("workspace")}}},
      {"slots", slots},
      {"args", std::move(args)}};
}

/// Lists the parts of quantized forms that entries read with their parameters;
/// `master` and `compute` are there already.
static void addQuantizedStorages(json::Object &document) {
  llvm::StringMap<json::Object *> storages;
  for (json::Value &value : *document.getArray("parameters")) {
    json::Object &parameter = *value.getAsObject();
    storages[*parameter.getString("name")] = parameter.getObject("storages");
  }
  for (const json::Value &value : *document.getArray("entries"))
    for (const json::Value &item : *value.getAsObject()->getArray("args")) {
      const json::Object &arg = *item.getAsObject();
      auto storage = arg.getString("storage");
      json::Object *known =
          storage ? storages.lookup(*arg.getString("name")) : nullptr;
      if (known && !known->get(*storage))
        (*known)[storage->str()] =
            json::Object{{"dtype", arg.getString("dtype")->str()}};
    }
}

/// What one device gives to collectives in one call of `entry`, by kind and
/// mesh axes.
static void describeCollectives(func::FuncOp entry, const dist::SubAxes &mesh,
                                json::Array &list) {
  struct Total {
    int64_t bytes = 0, count = 0;
  };
  std::map<std::pair<std::string, std::vector<std::string>>, Total> totals;
  entry.walk([&](Operation *op) {
    if (!dist::isCollective(op))
      return;
    std::vector<std::string> axes;
    for (int64_t axis : dist::axesOf(op))
      if (!llvm::is_contained(axes, mesh[axis].axis))
        axes.push_back(mesh[axis].axis);
    int64_t count = 1;
    if (auto layers = op->getParentOfType<LayersOp>())
      count = layers.getCount();
    Total &total = totals[{op->getName().stripDialect().str(), axes}];
    total.count += count;
    total.bytes += count * tensorBytes(op->getOperand(0).getType());
  });
  for (const auto &[key, total] : totals)
    list.push_back(json::Object{{"entry", entry.getSymName()},
                                {"kind", key.first},
                                {"axes", json::Array(key.second)},
                                {"bytes", total.bytes},
                                {"count", total.count}});
}

static LogicalResult describeMesh(ModuleOp module, json::Object &document) {
  FailureOr<Mesh> mesh = getMesh(module);
  if (failed(mesh))
    return failure();
  dist::SubAxes axes = subAxesOf(*mesh);
  json::Array list, collectives;
  for (const dist::SubAxis &axis : axes)
    list.push_back(json::Object{{"axis", axis.axis}, {"size", axis.size}});
  document["mesh_axes"] = std::move(list);
  for (auto function : module.getOps<func::FuncOp>())
    if (function->hasAttr(entry::kEntry))
      describeCollectives(function, axes, collectives);
  document["collectives"] = std::move(collectives);
  for (json::Value &value : *document.getArray("parameters")) {
    json::Object &parameter = *value.getAsObject();
    auto op = module.lookupSymbol<ParamOp>(*parameter.getString("name"));
    auto compute =
        op ? op->getAttrOfType<dist::ShardingAttr>(kComputeAttr) : nullptr;
    if (!compute)
      continue;
    auto storage = op->getAttrOfType<dist::ShardingAttr>(dist::kStorageAttr);
    parameter["sharding"] =
        json::Object{{"compute", describe(compute.getSharding())},
                     {"storage", describe(storage.getSharding())}};
  }
  return success();
}

LogicalResult qwen::attachEntries(ModuleOp module) {
  FailureOr<json::Object> document = getManifest(module);
  if (failed(document))
    return failure();
  json::Array entries;
  for (auto function : module.getOps<func::FuncOp>())
    if (function->hasAttr(entry::kEntry))
      entries.push_back(describeEntry(function));
  (*document)["entries"] = std::move(entries);
  addQuantizedStorages(*document);
  if (failed(describeMesh(module, *document)))
    return failure();
  MemoryPlan plan(*document, module);
  (*document)["memory"] = plan.device();
  if (std::optional<json::Object> replication = plan.replication())
    (*document)["replication"] = std::move(*replication);
  setManifest(module, std::move(*document));
  return success();
}

//===----------------------------------------------------------------------===//
// The end
//===----------------------------------------------------------------------===//

static std::vector<std::string> entrySymbols(const json::Object &document,
                                             llvm::StringRef level) {
  std::vector<std::string> symbols;
  for (const json::Value &entry : *document.getArray("entries"))
    symbols.push_back(
        entrySymbol(*entry.getAsObject()->getString("name"), level));
  return symbols;
}

/// The variants of a module for the CPU; returns what the manifest says of
/// them.
static FailureOr<json::Object> finishCpu(ModuleOp module,
                                         const json::Object &document,
                                         std::vector<ModuleVariant> &result) {
  auto scratch = module->getAttrOfType<IntegerAttr>(kWorkerScratch);
  auto cpuName = module->getAttrOfType<StringAttr>(kCpuAttr);
  if (!scratch || !cpuName)
    return failure();
  json::Array variants;
  for (const cpu::CpuTarget &target : cpu::targetsFromOption(cpuName)) {
    result.push_back({"cpu",
                      target.name().str(),
                      entrySymbols(document, target.name()),
                      {},
                      {},
                      {}});
    json::Array features;
    SmallVector<llvm::StringRef> required = target.requiredFeatures();
    llvm::sort(required);
    for (llvm::StringRef feature : required)
      features.push_back(feature);
    variants.push_back(json::Object{{"level", target.name()},
                                    {"features", std::move(features)}});
  }
  return json::Object{{"worker_scratch_bytes", scratch.getInt()},
                      {"variants", std::move(variants)}};
}

/// The one variant of a module for GPUs.
static FailureOr<json::Object> finishGpu(ModuleOp module,
                                         const json::Object &document,
                                         std::vector<ModuleVariant> &result) {
  auto table = module->getAttrOfType<ArrayAttr>(kKernelTable);
  if (!table)
    return failure();
  llvm::StringRef target = targetOf(module);
  ModuleVariant variant{target.str(), "", entrySymbols(document, target),
                        {},           {}, {}};
  json::Object locations;
  for (auto kernel : table.getAsRange<DictionaryAttr>()) {
    auto number = [&](llvm::StringRef key) -> uint32_t {
      return kernel.getAs<IntegerAttr>(key).getInt();
    };
    auto thread = kernel.getAs<StringAttr>("thread");
    variant.kernels.push_back({kernel.getAs<StringAttr>("name").str(),
                               number("threads"), number("shared"),
                               number("params"),
                               thread ? thread.str() : std::string()});
    auto location = kernel.getAs<StringAttr>("location");
    if (location && !location.empty())
      locations[variant.kernels.back().name] = location.str();
  }
  if (auto products = module->getAttrOfType<ArrayAttr>(kProductTable))
    for (auto product : products.getAsRange<DictionaryAttr>())
      variant.products.push_back(productOf(product));
  result.push_back(std::move(variant));
  return json::Object{
      {"worker_scratch_bytes", 0},
      {"kernel_locations", std::move(locations)},
      {"variants",
       json::Array{json::Object{{"level", ""}, {"features", json::Array{}}}}}};
}

/// Bytes of the arenas by entry.
static json::Object arenaBytes(const json::Object &document) {
  json::Object bytes;
  for (const json::Value &value : *document.getArray("entries")) {
    const json::Object &entry = *value.getAsObject();
    // A key that is a string of its own: a reference would outlive the
    // document.
    bytes[entry.getString("name")->str()] = *entry.getInteger("arena_bytes");
  }
  return bytes;
}

FailureOr<FinishedManifest>
qwen::finishManifest(llvm::ArrayRef<ModuleOp> modules) {
  FinishedManifest result;
  json::Array targets;
  std::optional<json::Object> whole;
  for (ModuleOp module : modules) {
    FailureOr<json::Object> document = getManifest(module);
    if (failed(document))
      return failure();
    llvm::StringRef name = targetOf(module);
    FailureOr<json::Object> target = failure();
    if (document->getArray("entries"))
      target = (isGpuTarget(name) ? finishGpu : finishCpu)(module, *document,
                                                           result.variants);
    if (failed(target))
      return module.emitError("expected a module after the phase codegen");
    (*target)["target"] = name;
    if (whole)
      (*target)["arena_bytes"] = arenaBytes(*document);
    else
      whole = std::move(*document);
    targets.push_back(std::move(*target));
  }
  (*whole)["targets"] = std::move(targets);
  whole->erase("num_parameters");
  whole->erase("num_embedding_parameters");
  result.text = print(std::move(*whole));
  return result;
}
