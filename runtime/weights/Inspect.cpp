//===- Inspect.cpp - What weights contain ---------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Inspect.h"
#include "runtime/core/Json.h"
#include "runtime/weights/Hyperparameters.h"
#include "runtime/weights/Printable.h"
#include "runtime/weights/WeightSource.h"

#include <cmath>
#include <cstdlib>
#include <map>
#include <sys/stat.h>

namespace qrt {

namespace {

/// Elements of a list that are shown: a vocabulary has 100,000s.
constexpr size_t maxShown = 16;

nlohmann::json element(const GgufValue &value, size_t i) {
  if (const auto *strings = value.asStrings())
    return (*strings)[i];
  if (auto v = value.asBool(i))
    return *v;
  if (auto v = value.asInt(i))
    return *v;
  if (auto v = value.asUInt(i))
    return *v;
  if (auto v = value.asFloat(i)) {
    if (value.elementType() != GgufType::F32 || !std::isfinite(*v))
      return *v;
    // 1e-05 as it was meant, not the nearest f32 with 17 digits.
    return std::strtod(fmt::format("{}", static_cast<float>(*v)).c_str(),
                       nullptr);
  }
  return nullptr;
}

nlohmann::json valueJson(const GgufValue &value) {
  if (const std::string *text = value.asString())
    return *text;
  if (!value.isArray())
    return element(value, 0);
  if (value.size() > maxShown)
    return fmt::format("[{} x {}]", value.size(),
                       ggufTypeName(value.elementType()));
  nlohmann::json list = nlohmann::json::array();
  for (size_t i = 0; i < value.size(); ++i)
    list.push_back(element(value, i));
  return list;
}

bool isDirectory(const std::string &path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool exists(const std::string &path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

const char *formatName(WeightFormat format) {
  switch (format) {
  case WeightFormat::Hf:
    return "hf";
  case WeightFormat::Gguf:
    return "gguf";
  case WeightFormat::Random:
    return "random";
  }
  return "";
}

} // namespace

Expected<nlohmann::json> describeWeights(const std::string &w) {
  QRT_ASSIGN_OR_RETURN(auto source, WeightSource::open(w));
  nlohmann::json out = {{"format", formatName(source->format())}};
  nlohmann::json metadata = nlohmann::json::object();
  for (const auto &[key, value] : source->metadata())
    metadata[key] = value;
  if (const GgufFile *gguf = source->gguf()) {
    QRT_RETURN_IF_ERROR(checkGgufHyperparameters(*gguf));
    for (const auto &[key, value] : gguf->metadata())
      metadata[key] = valueJson(value);
  }
  out["metadata"] = std::move(metadata);
  if (source->format() == WeightFormat::Random)
    out["seed"] = source->seed();

  if (isDirectory(w)) {
    std::string path = source->directory() + "/config.json";
    if (exists(path)) {
      QRT_ASSIGN_OR_RETURN(out["config"], readJsonFile(path));
      QRT_RETURN_IF_ERROR(checkHfConfig(out["config"], *source, path));
    }
    path = source->directory() + "/trainer.json";
    if (exists(path)) {
      QRT_ASSIGN_OR_RETURN(out["trainer"], readJsonFile(path));
    }
  }

  nlohmann::json tensors = nlohmann::json::array();
  uint64_t elements = 0, bytes = 0;
  for (size_t i = 0; i < source->tensors().size(); ++i) {
    const SourceTensor &t = source->tensors()[i];
    elements += static_cast<uint64_t>(t.numElements());
    bytes += source->bytesOf(i);
    tensors.push_back({{"name", t.name},
                       {"dtype", t.dtype},
                       {"shape", t.shape},
                       {"bytes", source->bytesOf(i)}});
  }
  out["tensors"] = std::move(tensors);
  out["elements"] = elements;
  out["bytes"] = bytes;
  return out;
}

std::string weightsText(const nlohmann::json &d) {
  std::string out;
  auto text = [](const nlohmann::json &value) {
    return printable(value.is_string() ? value.get_ref<const std::string &>()
                                       : jsonText(value));
  };
  if (d.at("format") == "random")
    return fmt::format("random weights of seed {}\n",
                       d.at("seed").get<uint64_t>());
  std::map<std::string, size_t> dtypes;
  for (const nlohmann::json &t : d.at("tensors"))
    ++dtypes[t.at("dtype").get<std::string>()];
  std::string kinds;
  for (const auto &[name, count] : dtypes)
    kinds += fmt::format(", {} {}", count, name);
  out += fmt::format("format      {}\n", d.at("format").get<std::string>());
  out += fmt::format("tensors     {} ({} elements, {} bytes{})\n",
                     d.at("tensors").size(), d.at("elements").get<uint64_t>(),
                     d.at("bytes").get<uint64_t>(), kinds);
  for (const char *section : {"metadata", "config", "trainer"}) {
    if (!d.contains(section) || d[section].empty())
      continue;
    out += fmt::format("{}\n", section);
    if (!d[section].is_object())
      out += "  " + text(d[section]) + "\n";
    else
      for (const auto &[key, value] : d[section].items())
        out += fmt::format("  {} = {}\n", printable(key), text(value));
  }
  if (!d.at("tensors").empty())
    out += "tensors\n";
  for (const nlohmann::json &t : d.at("tensors"))
    out += fmt::format("  {:<52} {:<6} {}\n",
                       printable(t.at("name").get<std::string>()),
                       t.at("dtype").get<std::string>(),
                       shapeText(t.at("shape").get<std::vector<int64_t>>()));
  return out;
}

} // namespace qrt
