//===- ManifestParser.cpp - From JSON to a checked manifest ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/abi/qwen_module.h"
#include "runtime/core/Json.h"
#include "runtime/core/JsonReader.h"
#include "runtime/core/Manifest.h"

#include <algorithm>
#include <set>

using namespace qrt;
using nlohmann::json;

namespace {

constexpr int kBadManifest = 6011;
constexpr int kMaxDepth = 64;
/// Far above any machine, far below overflow when sizes are added up.
constexpr int64_t kMaxBytes = int64_t(1) << 48;
constexpr int64_t kMaxSlots = 1 << 22;
constexpr int64_t kMaxDevices = 1 << 20;

/// Product of sizes, or -1 where it exceeds kMaxBytes.
int64_t product(const std::vector<int64_t> &sizes) {
  int64_t result = 1;
  for (int64_t size : sizes) {
    if (size > 0 && result > kMaxBytes / size)
      return -1;
    result *= size;
  }
  return result;
}

std::vector<int64_t> readShape(JsonReader reader) {
  std::vector<int64_t> shape;
  for (size_t i = 0, n = reader.size(8); i < n; ++i)
    shape.push_back(reader.at(i).integer(1, kMaxBytes));
  if (product(shape) < 0) {
    reader.fail("describes a tensor that is too large");
    shape.clear(); // so that later products cannot overflow
  }
  return shape;
}

InitInfo readInit(JsonReader reader) {
  using Kind = InitInfo::Kind;
  InitInfo init;
  init.kind = reader.at("kind").oneOf<Kind>({{"zeros", Kind::Zeros},
                                             {"ones", Kind::Ones},
                                             {"constant", Kind::Constant},
                                             {"normal", Kind::Normal},
                                             {"uniform", Kind::Uniform}});
  if (init.kind == Kind::Constant)
    init.value = reader.at("value").number();
  if (init.kind == Kind::Normal) {
    init.mean = reader.has("mean") ? reader.at("mean").number() : 0;
    init.std = reader.at("std").number();
  }
  if (init.kind == Kind::Uniform) {
    init.low = reader.at("low").number();
    init.high = reader.at("high").number();
  }
  return init;
}

FileView readView(JsonReader reader) {
  FileView view;
  view.name = reader.at("name").str();
  view.fileShape = readShape(reader.at("file_shape"));
  view.transpose = reader.at("transpose").boolean();
  view.alias = reader.at("alias").boolean();
  if (JsonReader slice = reader.at("slice"); !slice.isNull()) {
    int64_t rank = static_cast<int64_t>(view.fileShape.size());
    int64_t axis = slice.at("axis").integer(0, std::max<int64_t>(rank - 1, 0));
    int64_t extent = rank ? view.fileShape[axis] : 1;
    view.slice.emplace(axis, slice.at("begin").integer(0, extent - 1));
  }
  if (JsonReader permute = reader.at("permute"); !permute.isNull())
    view.permuteHeads = permute.at("heads").integer(1, 1 << 20);
  return view;
}

/// The part of the file's tensor must have as many elements as the parameter,
/// and lie inside the tensor.
void checkView(const ParameterInfo &parameter, const FileView &view,
               JsonReader reader) {
  if (parameter.layers && view.name.find("{i}") == std::string::npos)
    reader.fail("names a layered parameter without '{i}'");
  int64_t available = product(view.fileShape);
  if (view.slice) {
    auto [axis, begin] = *view.slice;
    size_t rank = parameter.shape.size();
    if (rank != view.fileShape.size())
      return reader.fail("slices a tensor of another rank");
    for (size_t i = 0; i < rank; ++i) {
      int64_t want = parameter.shape[view.transpose ? rank - 1 - i : i];
      int64_t have = view.fileShape[i];
      if (static_cast<int64_t>(i) == axis ? want > have - begin : want != have)
        return reader.fail("slices beyond the file's tensor");
    }
  } else if (available != parameter.elementsPerLayer()) {
    reader.fail("has another number of elements than the parameter");
  }
  if (view.permuteHeads &&
      (parameter.shape.empty() || parameter.shape[0] % *view.permuteHeads != 0))
    reader.fail("permutes rows that are not a multiple of the heads");
}

ParameterInfo readParameter(JsonReader reader) {
  ParameterInfo parameter;
  parameter.name = reader.at("name").str();
  if (JsonReader layers = reader.at("layers"); !layers.isNull())
    parameter.layers = layers.integer(1, 1 << 16);
  parameter.shape = readShape(reader.at("shape"));
  if (product(parameter.shape) > kMaxBytes / 8 / parameter.layerCount())
    reader.fail("describes a parameter that is too large");
  JsonReader axes = reader.at("axes");
  for (size_t i = 0, n = axes.size(8); i < n; ++i)
    parameter.axes.push_back(axes.at(i).str());
  parameter.init = readInit(reader.at("init"));
  parameter.group = reader.at("group").integer(0, 63);
  JsonReader storages = reader.at("storages");
  if (storages.expectObject())
    for (auto &[name, unused] : storages.raw().items())
      parameter.storages[name] = storages.at(name.c_str()).at("dtype").dtype();
  JsonReader views = reader.at("views");
  if (views.expectObject())
    for (auto &[format, unused] : views.raw().items()) {
      JsonReader list = views.at(format.c_str());
      std::vector<FileView> &out = parameter.views[format];
      for (size_t i = 0, n = list.size(64); i < n; ++i) {
        out.push_back(readView(list.at(i)));
        checkView(parameter, out.back(), list.at(i));
      }
    }
  return parameter;
}

/// Indices of sub-axes, none of which was `used` before.
std::vector<int> readAxes(JsonReader reader, const Manifest &manifest,
                          std::set<int64_t> &used) {
  std::vector<int> axes;
  auto most = static_cast<int64_t>(manifest.meshAxes.size()) - 1;
  for (size_t i = 0, n = reader.size(64); i < n; ++i) {
    int64_t axis = reader.at(i).integer(0, std::max<int64_t>(most, 0));
    if (axis > most || !used.insert(axis).second) {
      reader.at(i).fail("is no sub-axis of the mesh, or used twice");
      return {};
    }
    axes.push_back(static_cast<int>(axis));
  }
  return axes;
}

/// What an argument says about the mesh.
void readSharding(JsonReader reader, const Manifest &manifest, ArgInfo &arg) {
  std::set<int64_t> used;
  if (reader.has("sharding")) {
    JsonReader dims = reader.at("sharding");
    if (dims.size(8) != arg.shape.size())
      return dims.fail("has another number of dimensions than the shape");
    for (size_t i = 0; i < arg.shape.size(); ++i)
      arg.sharding.push_back(readAxes(dims.at(i), manifest, used));
  }
  if (reader.has("partial"))
    arg.partial = readAxes(reader.at("partial"), manifest, used);
  if (arg.role == ArgRole::Mesh) {
    std::set<int64_t> other;
    arg.meshAxes = readAxes(reader.at("axes"), manifest, other);
    arg.meshScale =
        reader.at("scale").integer(-(int64_t(1) << 31), int64_t(1) << 31);
    if (arg.dtype != DType::I32 || !arg.shape.empty() || arg.count != 1)
      reader.fail("has role mesh, but is no i32 scalar");
  }
}

/// Elements of the logical tensor that an argument is a block of; -1 where
/// they are too many.
int64_t logicalElements(const EntryInfo &entry, const ArgInfo &arg,
                        const Manifest &manifest) {
  std::vector<int64_t> sizes = {entry.elements(arg)};
  for (const std::vector<int> &axes : arg.sharding)
    for (int axis : axes)
      sizes.push_back(manifest.meshAxes[axis].size);
  return product(sizes);
}

ArgInfo readArg(JsonReader reader, const EntryInfo &entry,
                const Manifest &manifest) {
  ArgInfo arg;
  arg.name = reader.at("name").str();
  arg.role =
      reader.at("role").oneOf<ArgRole>({{"input", ArgRole::Input},
                                        {"output", ArgRole::Output},
                                        {"parameter", ArgRole::Parameter},
                                        {"gradient", ArgRole::Gradient},
                                        {"gradient_sum", ArgRole::GradientSum},
                                        {"moment1", ArgRole::Moment1},
                                        {"moment2", ArgRole::Moment2},
                                        {"cache", ArgRole::Cache},
                                        {"mesh", ArgRole::Mesh}});
  arg.dtype = reader.at("dtype").dtype();
  JsonReader shape = reader.at("shape");
  int64_t most = 1;
  for (size_t i = 0, n = shape.size(8); i < n; ++i) {
    DimInfo dim;
    if (shape.at(i).raw().is_string()) {
      std::string name = shape.at(i).str();
      dim.extent = entry.findExtent(name);
      if (dim.extent < 0)
        shape.at(i).fail(
            fmt::format("names '{}', which is no extent of this entry", name));
      else
        dim.size = entry.extents[dim.extent].max;
    } else {
      dim.size = shape.at(i).integer(1, kMaxBytes);
    }
    if (dim.size > 0 && most > kMaxBytes / 8 / dim.size) {
      shape.fail("describes a tensor that is too large");
      dim.size = 1; // so that later products cannot overflow
    }
    most *= dim.size;
    arg.shape.push_back(dim);
  }
  arg.slot = reader.at("slot").integer(0, kMaxSlots);
  arg.count = reader.at("count").integer(1, kMaxSlots);
  if (arg.slot > entry.slots - arg.count)
    reader.fail(fmt::format("needs slots beyond the entry's {}", entry.slots));
  if (most > kMaxBytes / 8 / arg.count)
    shape.fail("describes a tensor that is too large");
  if (reader.has("donated"))
    arg.donated = reader.at("donated").boolean();
  if (reader.has("optional")) {
    arg.optional = reader.at("optional").boolean();
    if (arg.optional && arg.role != ArgRole::Input)
      reader.fail("is optional and no input");
  }
  readSharding(reader, manifest, arg);
  if (arg.role == ArgRole::Parameter || arg.role == ArgRole::Gradient ||
      arg.role == ArgRole::GradientSum || arg.role == ArgRole::Moment1 ||
      arg.role == ArgRole::Moment2) {
    arg.parameter = manifest.findParameter(arg.name);
    if (arg.parameter < 0) {
      reader.fail(fmt::format("names '{}', which is no parameter", arg.name));
      return arg;
    }
    const ParameterInfo &parameter = manifest.parameters[arg.parameter];
    if (arg.role == ArgRole::Parameter)
      arg.storage = reader.at("storage").str();
    if (arg.count != parameter.layerCount() ||
        logicalElements(entry, arg, manifest) !=
            parameter.elementsPerLayer(arg.storage) ||
        (arg.isSharded() && arg.shape.size() != parameter.rank(arg.storage)))
      reader.fail("has another shape or layer count than the parameter");
    if (arg.role == ArgRole::Parameter) {
      auto it = parameter.storages.find(arg.storage);
      if (it == parameter.storages.end())
        reader.fail(fmt::format("names storage '{}', which the parameter does "
                                "not have",
                                arg.storage));
      else if (it->second != arg.dtype)
        reader.fail("has another type than the parameter's storage");
    }
  }
  return arg;
}

EntryInfo readEntry(JsonReader reader, const Manifest &manifest) {
  EntryInfo entry;
  entry.name = reader.at("name").str();
  JsonReader extents = reader.at("extents");
  for (size_t i = 0, n = extents.size(16); i < n; ++i) {
    ExtentInfo extent;
    extent.name = extents.at(i).at("name").str();
    extent.max = extents.at(i).at("max").integer(1, int64_t(1) << 31);
    if (extents.at(i).has("multiple"))
      extent.multiple = extents.at(i).at("multiple").integer(1, extent.max);
    entry.extents.push_back(extent);
  }
  entry.arenaBytes = reader.at("arena_bytes").integer(0, kMaxBytes);
  entry.slots = reader.at("slots").integer(0, kMaxSlots);
  JsonReader args = reader.at("args");
  std::vector<bool> taken(entry.slots, false);
  for (size_t i = 0, n = args.size(); i < n; ++i) {
    ArgInfo arg = readArg(args.at(i), entry, manifest);
    for (int64_t s = arg.slot; s < arg.slot + arg.count && s < entry.slots;
         ++s) {
      if (taken[s])
        args.at(i).fail(fmt::format("uses slot {} a second time", s));
      taken[s] = true;
    }
    entry.args.push_back(std::move(arg));
  }
  auto unused = std::find(taken.begin(), taken.end(), false);
  if (unused != taken.end())
    args.fail(fmt::format("leave slot {} without an argument",
                          unused - taken.begin()));
  return entry;
}

DataEntry readDataEntry(JsonReader reader) {
  DataEntry entry;
  if (!reader.raw().is_object()) {
    entry.file = reader.str();
    return entry;
  }
  entry.file = reader.at("file").str();
  if (reader.has("weight"))
    entry.weight = reader.at("weight").number();
  if (reader.has("type"))
    entry.width = reader.at("type").oneOf<unsigned>({{"u16", 2}, {"u32", 4}});
  return entry;
}

std::pair<double, double> readBetas(JsonReader betas) {
  if (betas.size(2) == 2)
    return {betas.at(size_t(0)).number(), betas.at(size_t(1)).number()};
  betas.fail("is not a pair of numbers");
  return {};
}

OptimizerGroupDefaults readGroup(JsonReader reader) {
  OptimizerGroupDefaults group;
  group.muon =
      reader.at("kind").oneOf<bool>({{"adamw", false}, {"muon", true}});
  group.match = reader.at("match").str();
  group.lrScale = reader.at("lr_scale").number();
  if (reader.has("weight_decay"))
    group.weightDecay = reader.at("weight_decay").number();
  if (reader.has("eps"))
    group.eps = reader.at("eps").number();
  if (reader.has("betas"))
    group.betas = readBetas(reader.at("betas"));
  return group;
}

void readOptimizer(JsonReader reader, OptimizerDefaults &out) {
  out.kind = reader.at("kind").str();
  out.lr = reader.at("lr").number();
  std::tie(out.beta1, out.beta2) = readBetas(reader.at("betas"));
  out.eps = reader.at("eps").number();
  out.weightDecay = reader.at("weight_decay").number();
  out.clip = reader.at("clip").number();
  out.groups.resize(2);
  out.groups[1].weightDecay = 0;
  if (reader.has("groups")) {
    out.groups.clear();
    JsonReader groups = reader.at("groups");
    for (size_t i = 0, n = groups.size(64); i < n; ++i)
      out.groups.push_back(readGroup(groups.at(i)));
  }
  if (!out.usesMuon())
    return;
  JsonReader muon = reader.at("muon");
  out.muon.lr = muon.at("lr").number();
  out.muon.momentum = muon.at("momentum").number();
  out.muon.momentumStart = muon.at("momentum_start").number();
  out.muon.momentumWarmup =
      muon.at("momentum_warmup").integer(0, int64_t(1) << 40);
  out.muon.weightDecay = muon.at("weight_decay").number();
  out.muon.eps = muon.at("eps").number();
  out.muon.scale = muon.at("scale").str();
}

void readDefaults(JsonReader reader, ManifestDefaults &defaults) {
  constexpr int64_t kMany = int64_t(1) << 40;
  if (reader.has("train")) {
    JsonReader train = reader.at("train");
    auto &out = defaults.train;
    out.batch = train.at("batch").integer(1, kMany);
    out.sequence = train.at("sequence").integer(1, kMany);
    out.accumulate = train.at("accumulate").integer(1, kMany);
    out.seed = train.at("seed").unsignedInteger();
    if (train.has("data")) {
      JsonReader data = train.at("data");
      for (size_t i = 0, n = data.size(); i < n; ++i)
        out.data.push_back(readDataEntry(data.at(i)));
    }
    if (train.has("document_mask"))
      out.documentMask = train.at("document_mask").boolean();
    if (train.has("nonfinite"))
      out.nonFinite = train.at("nonfinite")
                          .oneOf<NonFinite>({{"stop", NonFinite::Stop},
                                             {"skip", NonFinite::Skip}});
    if (train.has("max_skips"))
      out.maxSkips = train.at("max_skips").integer(1, int64_t(1) << 53);
    if (train.has("skip_outliers"))
      out.skipOutliers = train.at("skip_outliers").number();
    readOptimizer(train.at("optimizer"), out.optimizer);
    JsonReader schedule = train.at("schedule");
    out.schedule.kind = schedule.at("kind").str();
    out.schedule.warmup = schedule.at("warmup").integer(0, kMany);
    out.schedule.minLr = schedule.at("min_lr").number();
    if (schedule.has("decay"))
      out.schedule.decay = schedule.at("decay").number();
    if (schedule.has("steps"))
      out.schedule.steps = schedule.at("steps").integer(1, kMany);
    if (schedule.has("tokens"))
      out.schedule.tokens = schedule.at("tokens").integer(1, int64_t(1) << 60);
    if (schedule.has("flops"))
      out.schedule.flops = schedule.at("flops").number();
    if (schedule.has("tokens_per_parameter"))
      out.schedule.tokensPerParameter =
          schedule.at("tokens_per_parameter").number();
  }
  if (reader.has("checkpoint")) {
    JsonReader checkpoint = reader.at("checkpoint");
    if (checkpoint.has("every"))
      defaults.checkpoint.every = checkpoint.at("every").integer(0, kMany);
    if (checkpoint.has("keep"))
      defaults.checkpoint.keep = checkpoint.at("keep").integer(0, kMany);
    if (checkpoint.has("keep_every"))
      defaults.checkpoint.keepEvery =
          checkpoint.at("keep_every").integer(0, kMany);
    if (checkpoint.has("async"))
      defaults.checkpoint.async = checkpoint.at("async").boolean();
    if (checkpoint.has("best"))
      defaults.checkpoint.best = checkpoint.at("best").boolean();
  }
  if (reader.has("eval")) {
    JsonReader eval = reader.at("eval");
    if (eval.has("every"))
      defaults.eval.every = eval.at("every").integer(0, kMany);
    if (eval.has("batches"))
      defaults.eval.batches = eval.at("batches").integer(0, kMany);
    if (eval.has("sample_every"))
      defaults.eval.sampleEvery = eval.at("sample_every").integer(0, kMany);
    if (eval.has("sample_tokens"))
      defaults.eval.sampleTokens = eval.at("sample_tokens").integer(0, kMany);
    if (eval.has("sample_prompts")) {
      JsonReader prompts = eval.at("sample_prompts");
      for (size_t i = 0, n = prompts.size(); i < n; ++i)
        defaults.eval.samplePrompts.push_back(prompts.at(i).str());
    }
  }
  if (reader.has("log") && reader.at("log").has("every"))
    defaults.log.every = reader.at("log").at("every").integer(1, kMany);
  if (reader.has("infer")) {
    JsonReader infer = reader.at("infer");
    defaults.infer.batch = infer.at("batch").integer(1, 1 << 20);
    defaults.infer.context = infer.at("context").integer(1, int64_t(1) << 31);
    defaults.infer.prefill = infer.at("prefill").integer(1, int64_t(1) << 31);
  }
}

void readTargets(JsonReader reader, Manifest &manifest) {
  for (size_t i = 0, n = reader.size(16); i < n; ++i) {
    JsonReader item = reader.at(i);
    TargetInfo target;
    target.target = item.at("target").str();
    target.workerScratchBytes =
        item.at("worker_scratch_bytes").integer(0, int64_t(1) << 34);
    if (item.has("arena_bytes")) {
      JsonReader arenas = item.at("arena_bytes");
      if (arenas.expectObject())
        for (auto &[entry, unused] : arenas.raw().items())
          target.arenaBytes[entry] =
              arenas.at(entry.c_str()).integer(0, kMaxBytes);
    }
    if (item.has("kernel_locations")) {
      JsonReader places = item.at("kernel_locations");
      if (places.expectObject())
        for (auto &[kernel, unused] : places.raw().items())
          target.kernelLocations[kernel] = places.at(kernel.c_str()).str();
    }
    JsonReader variants = item.at("variants");
    for (size_t v = 0, m = variants.size(64); v < m; ++v) {
      VariantInfo variant;
      variant.level = variants.at(v).at("level").str();
      JsonReader features = variants.at(v).at("features");
      for (size_t f = 0, k = features.size(1024); f < k; ++f)
        variant.features.push_back(features.at(f).str());
      target.variants.push_back(std::move(variant));
    }
    manifest.targets.push_back(std::move(target));
  }
}

/// The axes' prime factors, whose product must be that of the axes.
void readMeshAxes(JsonReader root, Manifest &manifest) {
  int64_t devices = 1, factors = 1;
  for (const auto &[axis, size] : manifest.mesh)
    devices = std::min(devices * size, kMaxDevices + 1);
  if (root.has("mesh_axes")) {
    JsonReader axes = root.at("mesh_axes");
    for (size_t i = 0, n = axes.size(20); i < n; ++i) {
      MeshAxisInfo axis;
      axis.axis = axes.at(i).at("axis").str();
      axis.size = axes.at(i).at("size").integer(2, kMaxDevices);
      factors = std::min(factors * axis.size, kMaxDevices + 1);
      manifest.meshAxes.push_back(std::move(axis));
    }
  }
  if (factors != devices || devices > kMaxDevices)
    root.at("mesh").fail("is not the product of mesh_axes");
}

/// Finds the parameters whose compute storage needs no memory of its own.
void compareStorages(Manifest &manifest) {
  for (size_t p = 0; p < manifest.parameters.size(); ++p) {
    ParameterInfo &parameter = manifest.parameters[p];
    auto master = parameter.storages.find("master");
    auto compute = parameter.storages.find("compute");
    if (master == parameter.storages.end() ||
        compute == parameter.storages.end() ||
        master->second != compute->second)
      continue;
    const ArgInfo *first = nullptr;
    parameter.computeIsMaster = true;
    for (const EntryInfo &entry : manifest.entries)
      for (const ArgInfo &arg : entry.args)
        if (arg.role == ArgRole::Parameter &&
            arg.parameter == static_cast<int>(p)) {
          if (first && first->isSharded() + arg.isSharded() > 0 &&
              first->sharding != arg.sharding)
            parameter.computeIsMaster = false;
          first = first ? first : &arg;
        }
  }
}

/// Finds the parameters whose gradients are added up in place.
void compareSums(Manifest &manifest) {
  auto find = [&](ArgRole role, const std::string &name) {
    const ArgInfo *found = nullptr;
    for (const EntryInfo &entry : manifest.entries)
      if (const ArgInfo *arg = entry.findArg(role, name); arg && !found)
        found = arg;
    return found;
  };
  for (ParameterInfo &parameter : manifest.parameters) {
    const ArgInfo *sum = find(ArgRole::GradientSum, parameter.name);
    const ArgInfo *summands = find(ArgRole::Gradient, parameter.name);
    parameter.sumIsGradient =
        sum && summands && sum->sharding == summands->sharding;
  }
}

void readDocument(JsonReader root, Manifest &manifest) {
  manifest.format = root.at("format").integer(0, 1 << 30);
  manifest.abi = root.at("abi").integer(0, 1 << 30);
  manifest.name = root.at("name").str();
  manifest.compiler = root.at("compiler").str();
  manifest.buildId = root.at("build_id").str();
  manifest.dtype = root.at("dtype").dtype();
  // The name becomes a folder (runs/<name>).
  if (manifest.name.empty() || manifest.name.size() > 200 ||
      manifest.name[0] == '.' ||
      manifest.name.find_first_of(std::string_view("/\0\n", 3)) !=
          std::string::npos)
    root.at("name").fail("cannot be the name of a folder");
  if (JsonReader mesh = root.at("mesh"); mesh.expectObject())
    for (auto &[axis, unused] : mesh.raw().items())
      manifest.mesh.emplace_back(axis,
                                 mesh.at(axis.c_str()).integer(1, 1 << 20));
  readMeshAxes(root, manifest);
  JsonReader architecture = root.at("architecture");
  manifest.family = architecture.at("family").str();
  if (JsonReader dims = architecture.at("dims"); dims.expectObject())
    for (auto &[name, value] : dims.raw().items())
      if (value.is_number_integer())
        manifest.dims[name] =
            dims.at(name.c_str()).integer(-kMaxBytes, kMaxBytes);
  JsonReader config = architecture.at("hf_config");
  if (config.expectObject())
    manifest.hfConfig = config.raw();
  readDefaults(root.at("defaults"), manifest.defaults);
  JsonReader flops = root.at("flops_per_token");
  manifest.flopsPerToken.forward = flops.at("forward").number();
  manifest.flopsPerToken.train = flops.at("train").number();
  manifest.flopsPerToken.trainCausal = flops.at("train_causal").number();
  readTargets(root.at("targets"), manifest);
  std::set<std::string> names;
  JsonReader parameters = root.at("parameters");
  for (size_t i = 0, n = parameters.size(1 << 16); i < n; ++i) {
    manifest.parameters.push_back(readParameter(parameters.at(i)));
    if (!names.insert(manifest.parameters.back().name).second)
      parameters.at(i).fail("has the name of an earlier parameter");
  }
  names.clear();
  JsonReader entries = root.at("entries");
  for (size_t i = 0, n = entries.size(1024); i < n; ++i) {
    manifest.entries.push_back(readEntry(entries.at(i), manifest));
    if (!names.insert(manifest.entries.back().name).second)
      entries.at(i).fail("has the name of an earlier entry");
  }
  // What the update has no second moment for has one.
  int update = manifest.findEntry("optimizer_step");
  for (ParameterInfo &parameter : manifest.parameters)
    if (update >= 0 &&
        !manifest.entries[update].findArg(ArgRole::Moment2, parameter.name))
      parameter.moments = 1;
  compareStorages(manifest);
  compareSums(manifest);
  manifest.memory = root.at("memory").raw();
}

} // namespace

Expected<Manifest> qrt::parseManifest(std::string_view text,
                                      const std::string &where) {
  // A section may be padded with zeros.
  if (size_t end = text.find('\0'); end != std::string_view::npos)
    text = text.substr(0, end);
  Manifest manifest;
  Expected<json> parsed = parseJson(text, "", kMaxDepth);
  if (!parsed)
    return makeError(kBadManifest, where, "damaged manifest: {} ({})",
                     parsed.error().message, parsed.error().where);
  manifest.json = std::move(*parsed);
  std::string error;
  JsonReader root(manifest.json, "", error);
  int64_t format = root.at("format").integer(0, 1 << 30);
  int64_t abi = root.at("abi").integer(0, 1 << 30);
  // The format is told first: another one may hold the version elsewhere.
  bool sameFormat = format == 1;
  if (error.empty() && (!sameFormat || abi != QRT_ABI_VERSION))
    return makeError(6012, where,
                     "the module has {} version {}, this qwen-rt needs {}; "
                     "compile the model again with the qwenc of this release",
                     sameFormat ? "ABI" : "manifest", sameFormat ? abi : format,
                     sameFormat ? QRT_ABI_VERSION : 1);
  if (error.empty())
    readDocument(root, manifest);
  if (!error.empty())
    return makeError(kBadManifest, where, "damaged manifest: {}", error);
  return manifest;
}
