//===- Manifest.cpp - The model's part of the manifest --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The format is described in runtime/abi/manifest.md. llvm::json prints keys
// sorted.
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Spec.h"

using namespace qwen;
namespace json = llvm::json;

json::Object qwen::manifestArchitecture(const ModelSpec &spec) {
  json::Object dims;
  for (const auto &[name, dim] : spec.dims)
    dims[name] = dim.value;
  return json::Object{{"family", spec.family},
                      {"dims", std::move(dims)},
                      {"hf_config", json::Object(spec.hfConfig)}};
}

json::Object qwen::manifestDefaults(const ModelSpec &spec) {
  const Optimizer &o = spec.optimizer;
  const Schedule &s = spec.schedule;
  json::Object optimizer{
      {"kind", o.kind}, {"lr", o.lr},
      {"eps", o.eps},   {"weight_decay", o.weightDecay},
      {"clip", o.clip}, {"betas", json::Array{o.beta1, o.beta2}}};
  json::Array groups;
  for (const OptimizerGroup &group : o.groups) {
    json::Object object{{"kind", group.muon ? "muon" : "adamw"},
                        {"match", group.match},
                        {"lr_scale", group.lrScale}};
    if (group.weightDecay)
      object["weight_decay"] = *group.weightDecay;
    if (group.eps)
      object["eps"] = *group.eps;
    if (group.betas)
      object["betas"] = json::Array{group.betas->first, group.betas->second};
    groups.push_back(std::move(object));
  }
  optimizer["groups"] = std::move(groups);
  if (o.usesMuon())
    optimizer["muon"] = json::Object{{"lr", o.muon.lr},
                                     {"momentum", o.muon.momentum},
                                     {"momentum_start", o.muon.momentumStart},
                                     {"momentum_warmup", o.muon.momentumWarmup},
                                     {"weight_decay", o.muon.weightDecay},
                                     {"eps", o.muon.eps},
                                     {"nesterov", o.muon.nesterov},
                                     {"steps", o.muon.steps},
                                     {"scale", o.muon.scale}};
  json::Object schedule{{"kind", s.kind},
                        {"warmup", s.warmup},
                        {"min_lr", s.minLr},
                        {"decay", s.decay}};
  if (s.horizon == "steps" || s.horizon == "tokens")
    schedule[s.horizon] = static_cast<int64_t>(s.length);
  else if (!s.horizon.empty())
    schedule[s.horizon] = s.length;
  json::Object defaults = json::Object(spec.defaults);
  json::Object &train = *defaults.getObject("train");
  train["batch"] = spec.trainBatch;
  train["sequence"] = spec.trainSequence;
  train["accumulate"] = spec.trainAccumulate;
  train["seed"] = spec.seed;
  train["optimizer"] = std::move(optimizer);
  train["schedule"] = std::move(schedule);
  defaults["infer"] = json::Object{{"batch", spec.inferBatch},
                                   {"context", spec.inferContext},
                                   {"prefill", spec.inferPrefill},
                                   {"weights", spec.inferWeights},
                                   {"eos", json::Array(spec.eos)}};
  return defaults;
}

static json::Object initToJson(const Init &init) {
  switch (init.kind) {
  case Init::Kind::Zeros:
    return json::Object{{"kind", "zeros"}};
  case Init::Kind::Ones:
    return json::Object{{"kind", "ones"}};
  case Init::Kind::Constant:
    return json::Object{{"kind", "constant"}, {"value", init.first}};
  case Init::Kind::Normal:
    return json::Object{
        {"kind", "normal"}, {"mean", init.first}, {"std", init.second}};
  case Init::Kind::Uniform:
    return json::Object{
        {"kind", "uniform"}, {"low", init.first}, {"high", init.second}};
  }
  return {};
}

static json::Object viewToJson(const FileView &view) {
  json::Object object{{"name", view.name},
                      {"file_shape", json::Array(view.fileShape)},
                      {"transpose", view.transpose},
                      {"slice", nullptr},
                      {"permute", nullptr},
                      {"alias", view.alias}};
  if (view.slice)
    object["slice"] =
        json::Object{{"axis", view.slice->axis}, {"begin", view.slice->begin}};
  if (view.permuteHeads)
    object["permute"] = json::Object{{"heads", *view.permuteHeads}};
  return object;
}

json::Array qwen::manifestParameters(const ModelSpec &spec) {
  json::Array parameters;
  for (const Param &param : spec.params) {
    json::Array axes;
    for (const Axis &axis : param.axes)
      axes.push_back(axis.str());
    json::Object views;
    for (const auto &[format, list] : param.views) {
      json::Array array;
      for (const FileView &view : list)
        array.push_back(viewToJson(view));
      views[format] = std::move(array);
    }
    json::Object storages{
        {"master", json::Object{{"dtype", "f32"}}},
        {"compute", json::Object{{"dtype", stringifyDType(spec.dtype)}}}};
    parameters.push_back(
        json::Object{{"name", param.name},
                     {"layers", param.perLayer ? json::Value(spec.dim("layers"))
                                               : json::Value(nullptr)},
                     {"shape", json::Array(param.shape())},
                     {"axes", std::move(axes)},
                     {"init", initToJson(param.init)},
                     {"group", param.group},
                     {"storages", std::move(storages)},
                     {"views", std::move(views)}});
  }
  return parameters;
}
