//===- Settings.cpp - What a training run may change ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Settings.h"
#include "runtime/core/Suggest.h"

#include <cmath>
#include <functional>
#include <limits>

using namespace qrt;
using nlohmann::json;

namespace {

using Setter = std::function<bool(ManifestDefaults &, const json &)>;

bool setInteger(int64_t &out, const json &value, int64_t least) {
  // 1e3 is a whole number too.
  if (value.is_number_float()) {
    double number = value.get<double>();
    if (!(number >= double(least) && number <= 0x1p53) ||
        number != std::floor(number))
      return false;
    out = static_cast<int64_t>(number);
    return true;
  }
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() &&
       value.get<uint64_t>() > uint64_t(std::numeric_limits<int64_t>::max())) ||
      value.get<int64_t>() < least)
    return false;
  out = value.get<int64_t>();
  return true;
}

bool setNumber(double &out, const json &value, double low, double high) {
  if (!value.is_number())
    return false;
  double number = value.get<double>();
  if (!(number >= low && number <= high))
    return false;
  out = number;
  return true;
}

bool setStrings(std::vector<std::string> &out, const json &value) {
  std::vector<std::string> result;
  if (value.is_string()) {
    result.push_back(value.get<std::string>());
  } else if (value.is_array()) {
    for (const json &item : value) {
      if (!item.is_string())
        return false;
      result.push_back(item.get<std::string>());
    }
  } else {
    return false;
  }
  out = std::move(result);
  return true;
}

/// A file name, or {"file": ..., "weight": ..., "type": "u16"}.
bool setDataEntry(DataEntry &out, const json &value) {
  if (value.is_string()) {
    out.file = value.get<std::string>();
    return true;
  }
  if (!value.is_object() || !value.contains("file"))
    return false;
  for (auto &[key, item] : value.items()) {
    if (key == "file" && item.is_string())
      out.file = item.get<std::string>();
    else if (key == "weight" && setNumber(out.weight, item, 1e-9, 1e9))
      continue;
    else if (key == "type" && (item == "u16" || item == "u32"))
      out.width = item == "u16" ? 2 : 4;
    else
      return false;
  }
  return true;
}

bool setData(std::vector<DataEntry> &out, const json &value) {
  std::vector<DataEntry> entries;
  for (const json &item : value.is_array() ? value : json::array({value})) {
    DataEntry entry;
    if (!setDataEntry(entry, item))
      return false;
    entries.push_back(std::move(entry));
  }
  out = std::move(entries);
  return true;
}

bool setFlag(bool &out, const json &value) {
  if (!value.is_boolean())
    return false;
  out = value.get<bool>();
  return true;
}

template <typename T>
Setter horizon(std::optional<T> ScheduleDefaults::*member) {
  return [member](ManifestDefaults &settings, const json &value) {
    ScheduleDefaults &schedule = settings.train.schedule;
    T number{};
    if constexpr (std::is_same_v<T, double>) {
      if (!setNumber(number, value, 1e-300, 1e300))
        return false;
    } else if (!setInteger(number, value, 1)) {
      return false;
    }
    schedule.steps.reset();
    schedule.tokens.reset();
    schedule.flops.reset();
    schedule.tokensPerParameter.reset();
    schedule.*member = number;
    return true;
  };
}

struct Setting {
  const char *key;
  const char *kind; ///< what the value must be
  Setter set;
};

/// All keys that act at run time.
const std::vector<Setting> &runtimeSettings() {
  static const std::vector<Setting> settings = {
      {"train.accumulate", "a whole number from 1",
       [](auto &s, const json &v) {
         return setInteger(s.train.accumulate, v, 1);
       }},
      {"train.seed", "a whole number from 0",
       [](auto &s, const json &v) {
         if (!v.is_number_integer() ||
             (!v.is_number_unsigned() && v.template get<int64_t>() < 0))
           return false;
         s.train.seed = v.template get<uint64_t>();
         return true;
       }},
      {"train.data",
       "a file name, {\"file\": F, \"weight\": W, \"type\": \"u16\"}, or a "
       "list of "
       "them",
       [](auto &s, const json &v) { return setData(s.train.data, v); }},
      {"train.document_mask", "true or false",
       [](auto &s, const json &v) { return setFlag(s.train.documentMask, v); }},
      {"train.nonfinite", "stop or skip",
       [](auto &s, const json &v) {
         if (v != "stop" && v != "skip")
           return false;
         s.train.nonFinite = v == "skip" ? NonFinite::Skip : NonFinite::Stop;
         return true;
       }},
      {"train.max_skips", "a whole number from 1",
       [](auto &s, const json &v) {
         return setInteger(s.train.maxSkips, v, 1);
       }},
      {"train.skip_outliers", "a number from 0 (0: none are skipped)",
       [](auto &s, const json &v) {
         return setNumber(s.train.skipOutliers, v, 0, 1e9);
       }},
      {"train.optimizer.lr", "a number from 0",
       [](auto &s, const json &v) {
         return setNumber(s.train.optimizer.lr, v, 0, 1e9);
       }},
      {"train.optimizer.betas", "two numbers from 0 to below 1",
       [](auto &s, const json &v) {
         double first = 0, second = 0;
         if (!v.is_array() || v.size() != 2 ||
             !setNumber(first, v[0], 0, std::nextafter(1, 0)) ||
             !setNumber(second, v[1], 0, std::nextafter(1, 0)))
           return false;
         s.train.optimizer.beta1 = first;
         s.train.optimizer.beta2 = second;
         return true;
       }},
      {"train.optimizer.eps", "a number from 0",
       [](auto &s, const json &v) {
         return setNumber(s.train.optimizer.eps, v, 0, 1e9);
       }},
      {"train.optimizer.weight_decay", "a number from 0",
       [](auto &s, const json &v) {
         return setNumber(s.train.optimizer.weightDecay, v, 0, 1e9);
       }},
      {"train.optimizer.clip", "a number from 0 (0: no clipping)",
       [](auto &s, const json &v) {
         return setNumber(s.train.optimizer.clip, v, 0, 1e30);
       }},
      {"train.optimizer.muon.lr", "a number from 0, of a module with Muon",
       [](auto &s, const json &v) {
         return s.train.optimizer.usesMuon() &&
                setNumber(s.train.optimizer.muon.lr, v, 0, 1e9);
       }},
      {"train.optimizer.muon.momentum",
       "a number from 0 to below 1, of a module with Muon",
       [](auto &s, const json &v) {
         return s.train.optimizer.usesMuon() &&
                setNumber(s.train.optimizer.muon.momentum, v, 0,
                          std::nextafter(1, 0));
       }},
      {"train.optimizer.muon.weight_decay",
       "a number from 0, of a module with Muon",
       [](auto &s, const json &v) {
         return s.train.optimizer.usesMuon() &&
                setNumber(s.train.optimizer.muon.weightDecay, v, 0, 1e9);
       }},
      {"train.schedule.kind", "the name of a schedule",
       [](auto &s, const json &v) {
         if (!v.is_string())
           return false;
         s.train.schedule.kind = v.template get<std::string>();
         return true;
       }},
      {"train.schedule.warmup", "a whole number from 0",
       [](auto &s, const json &v) {
         return setInteger(s.train.schedule.warmup, v, 0);
       }},
      {"train.schedule.min_lr", "a number from 0",
       [](auto &s, const json &v) {
         return setNumber(s.train.schedule.minLr, v, 0, 1e9);
       }},
      {"train.schedule.decay", "a number from 0 to 1",
       [](auto &s, const json &v) {
         return setNumber(s.train.schedule.decay, v, 0, 1);
       }},
      {"train.schedule.steps", "a whole number from 1",
       horizon(&ScheduleDefaults::steps)},
      {"train.schedule.tokens", "a whole number from 1",
       horizon(&ScheduleDefaults::tokens)},
      {"train.schedule.flops", "a number above 0",
       horizon(&ScheduleDefaults::flops)},
      {"train.schedule.tokens_per_parameter", "a number above 0",
       horizon(&ScheduleDefaults::tokensPerParameter)},
      {"checkpoint.every", "a whole number from 0 (0: only the last step)",
       [](auto &s, const json &v) {
         return setInteger(s.checkpoint.every, v, 0);
       }},
      {"checkpoint.keep", "a whole number from 0 (0: all)",
       [](auto &s, const json &v) {
         return setInteger(s.checkpoint.keep, v, 0);
       }},
      {"checkpoint.keep_every", "a whole number from 0 (0: none)",
       [](auto &s, const json &v) {
         return setInteger(s.checkpoint.keepEvery, v, 0);
       }},
      {"checkpoint.best", "true or false",
       [](auto &s, const json &v) { return setFlag(s.checkpoint.best, v); }},
      {"checkpoint.async", "true or false",
       [](auto &s, const json &v) { return setFlag(s.checkpoint.async, v); }},
      {"eval.every", "a whole number from 0 (0: never)",
       [](auto &s, const json &v) { return setInteger(s.eval.every, v, 0); }},
      {"eval.batches", "a whole number from 0 (0: all)",
       [](auto &s, const json &v) { return setInteger(s.eval.batches, v, 0); }},
      {"eval.sample_every", "a whole number from 0 (0: never)",
       [](auto &s, const json &v) {
         return setInteger(s.eval.sampleEvery, v, 0);
       }},
      {"eval.sample_tokens", "a whole number from 1",
       [](auto &s, const json &v) {
         return setInteger(s.eval.sampleTokens, v, 1);
       }},
      {"eval.sample_prompts", "a text or a list of them",
       [](auto &s, const json &v) {
         return setStrings(s.eval.samplePrompts, v);
       }},
      {"log.every", "a whole number from 1",
       [](auto &s, const json &v) { return setInteger(s.log.every, v, 1); }},
  };
  return settings;
}

/// Keys of a model file that shape code; of those ending in '.' all below.
const char *const kCompiledKeys[] = {"dims.",
                                     "dtype",
                                     "tie_embeddings",
                                     "norm_eps",
                                     "rope.",
                                     "attention.",
                                     "parallel.",
                                     "memory.",
                                     "train.batch",
                                     "train.sequence",
                                     "train.z_loss",
                                     "infer.",
                                     "extends",
                                     "name",
                                     "train.optimizer.kind",
                                     "train.optimizer.groups",
                                     "train.optimizer.muon.",
                                     "block",
                                     "parameters",
                                     "architecture",
                                     "compile.",
                                     "rope",
                                     "dims",
                                     "parallel",
                                     "infer",
                                     "memory"};

bool isCompiledKey(const std::string &key) {
  for (std::string known : kCompiledKeys)
    if (known.back() == '.' ? key.rfind(known, 0) == 0 : key == known)
      return true;
  return false;
}

} // namespace

Status qrt::applySetting(ManifestDefaults &settings,
                         const std::string &assignment) {
  size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    return makeError(7010, "", "--set {}: not of the form key=value",
                     assignment);
  std::string key = assignment.substr(0, equals);
  std::string text = assignment.substr(equals + 1);
  for (const Setting &setting : runtimeSettings()) {
    if (key != setting.key)
      continue;
    json value;
    // Values are short: the depth of what the user types needs no limit but
    // this one.
    if (text.size() < 4096)
      value = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (value.is_discarded() || value.is_null())
      value = text;
    if (value.is_string() && text.find(',') != std::string::npos &&
        text.size() < 4096) {
      json list = json::parse("[" + text + "]", nullptr, false);
      if (!list.is_discarded())
        value = std::move(list);
    }
    if (!setting.set(settings, value))
      return makeError(7010, "", "--set {}: '{}' is not {}", key, text,
                       setting.kind);
    return Status::success();
  }
  if (isCompiledKey(key))
    return makeError(7012, "",
                     "{}: compiled into model.so; recompile with --set {}", key,
                     assignment);
  std::vector<std::string> names;
  for (const Setting &setting : runtimeSettings())
    names.push_back(setting.key);
  return makeError(7011, "", "--set {}: unknown key{}", key,
                   didYouMean(key, names));
}

Status qrt::checkSettings(const ManifestDefaults &settings) {
  const auto &schedule = settings.train.schedule;
  Expected<Schedule::Kind> kind = Schedule::parseKind(schedule.kind);
  if (!kind)
    return kind.error();
  if (schedule.minLr > settings.train.optimizer.lr)
    return makeError(8001, "",
                     "train.schedule.min_lr {} is above train.optimizer.lr {}",
                     schedule.minLr, settings.train.optimizer.lr);
  double tokens = double(settings.train.batch) *
                  double(settings.train.sequence) *
                  double(settings.train.accumulate);
  if (tokens > 1e12)
    return makeError(8001, "",
                     "train.accumulate {} makes steps of {} tokens, which is "
                     "more than 1e12",
                     settings.train.accumulate, tokens);
  return Status::success();
}

int64_t qrt::tokensPerStep(const ManifestDefaults &settings) {
  return settings.train.batch * settings.train.sequence *
         settings.train.accumulate;
}

Expected<int64_t> qrt::horizonSteps(const ManifestDefaults &settings,
                                    const Manifest &manifest) {
  const ScheduleDefaults &schedule = settings.train.schedule;
  int given = int(schedule.steps.has_value()) +
              int(schedule.tokens.has_value()) +
              int(schedule.flops.has_value()) +
              int(schedule.tokensPerParameter.has_value());
  if (given != 1)
    return makeError(8002, "",
                     "{}; give the length of the run with --steps N, or with "
                     "one of train.schedule.steps, tokens, flops and "
                     "tokens_per_parameter",
                     given ? "several horizons are set" : "no horizon is set");
  if (schedule.steps)
    return *schedule.steps;
  double perStep = double(tokensPerStep(settings));
  double tokens = 0;
  if (schedule.tokens)
    tokens = double(*schedule.tokens);
  if (schedule.flops)
    tokens = *schedule.flops / std::max(manifest.flopsPerToken.train, 1.0);
  if (schedule.tokensPerParameter)
    tokens = *schedule.tokensPerParameter * double(manifest.parameterCount());
  double steps = std::ceil(tokens / perStep);
  if (!(steps <= 1e12))
    return makeError(8002, "", "the horizon means {} steps, more than 1e12",
                     steps);
  return std::max<int64_t>(1, static_cast<int64_t>(steps));
}

Expected<Schedule> qrt::makeSchedule(const ManifestDefaults &settings,
                                     int64_t total) {
  Schedule schedule;
  QRT_ASSIGN_OR_RETURN(schedule.kind,
                       Schedule::parseKind(settings.train.schedule.kind));
  schedule.lr = settings.train.optimizer.lr;
  schedule.minLr = settings.train.schedule.minLr;
  schedule.decay = settings.train.schedule.decay;
  schedule.warmup = settings.train.schedule.warmup;
  schedule.total = total;
  return schedule;
}

Status qrt::checkHorizons(const std::vector<std::string> &assignments) {
  const char *const horizons[] = {"steps", "tokens", "flops",
                                  "tokens_per_parameter"};
  std::string first;
  for (const std::string &assignment : assignments)
    for (std::string horizon : horizons) {
      std::string key = "train.schedule." + horizon;
      if (assignment.rfind(key + "=", 0) != 0)
        continue;
      if (!first.empty() && first != key)
        return makeError(8002, "",
                         "several horizons are set: {} and {}; give the length "
                         "of the run in one way",
                         first, key);
      first = key;
    }
  return Status::success();
}

namespace {

json dataToJson(const std::vector<DataEntry> &data) {
  json list = json::array();
  for (const DataEntry &entry : data) {
    if (entry.weight == 0 && entry.width == 0) {
      list.push_back(entry.file);
      continue;
    }
    json item = {{"file", entry.file}};
    if (entry.weight > 0)
      item["weight"] = entry.weight;
    if (entry.width > 0)
      item["type"] = entry.width == 2 ? "u16" : "u32";
    list.push_back(std::move(item));
  }
  return list;
}

} // namespace

static json groupToJson(const OptimizerGroupDefaults &group) {
  json result = {{"kind", group.muon ? "muon" : "adamw"},
                 {"match", group.match},
                 {"lr_scale", group.lrScale}};
  if (group.weightDecay)
    result["weight_decay"] = *group.weightDecay;
  if (group.eps)
    result["eps"] = *group.eps;
  if (group.betas)
    result["betas"] = {group.betas->first, group.betas->second};
  return result;
}

json qrt::settingsToJson(const ManifestDefaults &settings) {
  const auto &train = settings.train;
  json schedule = {{"kind", train.schedule.kind},
                   {"warmup", train.schedule.warmup},
                   {"min_lr", train.schedule.minLr},
                   {"decay", train.schedule.decay}};
  if (train.schedule.steps)
    schedule["steps"] = *train.schedule.steps;
  if (train.schedule.tokens)
    schedule["tokens"] = *train.schedule.tokens;
  if (train.schedule.flops)
    schedule["flops"] = *train.schedule.flops;
  if (train.schedule.tokensPerParameter)
    schedule["tokens_per_parameter"] = *train.schedule.tokensPerParameter;
  const OptimizerDefaults &optimizer = train.optimizer;
  json optimizerJson = {{"kind", optimizer.kind},
                        {"lr", optimizer.lr},
                        {"betas", {optimizer.beta1, optimizer.beta2}},
                        {"eps", optimizer.eps},
                        {"weight_decay", optimizer.weightDecay},
                        {"clip", optimizer.clip}};
  if (optimizer.groups.size() > 2)
    for (const OptimizerGroupDefaults &group : optimizer.groups)
      optimizerJson["groups"].push_back(groupToJson(group));
  if (optimizer.usesMuon())
    optimizerJson["muon"] = {{"lr", optimizer.muon.lr},
                             {"momentum", optimizer.muon.momentum},
                             {"weight_decay", optimizer.muon.weightDecay},
                             {"scale", optimizer.muon.scale}};
  return {{"train",
           {{"batch", train.batch},
            {"sequence", train.sequence},
            {"accumulate", train.accumulate},
            {"seed", train.seed},
            {"data", dataToJson(train.data)},
            {"document_mask", train.documentMask},
            {"nonfinite", train.nonFinite == NonFinite::Skip ? "skip" : "stop"},
            {"max_skips", train.maxSkips},
            {"skip_outliers", train.skipOutliers},
            {"optimizer", optimizerJson},
            {"schedule", schedule}}},
          {"checkpoint",
           {{"every", settings.checkpoint.every},
            {"keep", settings.checkpoint.keep},
            {"keep_every", settings.checkpoint.keepEvery},
            {"async", settings.checkpoint.async},
            {"best", settings.checkpoint.best}}},
          {"eval",
           {{"every", settings.eval.every},
            {"batches", settings.eval.batches},
            {"sample_every", settings.eval.sampleEvery},
            {"sample_tokens", settings.eval.sampleTokens},
            {"sample_prompts", settings.eval.samplePrompts}}},
          {"log", {{"every", settings.log.every}}}};
}
