//===- Model.cpp - A module with its weights and tokenizer ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/qwen-rt/Model.h"
#include "runtime/core/Json.h"
#include "runtime/mesh/Remote.h"
#include "runtime/weights/Checkpoint.h"
#include "tools/qwen-rt/Devices.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

using namespace qrt;
namespace fs = std::filesystem;

void qrt::addModelArgument(CLI::App &command, std::string &path) {
  path = "./model.so";
  command.add_option("model", path, "the module (default: ./model.so)");
}

void qrt::addDataTypeOption(CLI::App &command, std::string &type) {
  command
      .add_option("--data-type", type,
                  "ids of token files without header and meta.json")
      ->check(CLI::IsMember({"u16", "u32"}));
}

Expected<Model> qrt::openModel(const std::string &path,
                               const CommonOptions &common) {
  Model model;
  const DeviceKind *kind = findDeviceKind(common.device.kind);
  QRT_ASSIGN_OR_RETURN(model.module, Module::open(path, common.device.kind));
  DeviceGroup::Options options;
  options.comm = common.comm;
  options.flags = common.ranks;
  options.threads = common.threads;
  options.startTimeout = common.startTimeout;
  options.stepTimeout = common.stepTimeout;
  options.debug = common.commDebug;
  std::error_code unknown;
  options.pluginDirectory =
      fs::read_symlink("/proc/self/exe", unknown).parent_path().string();
  options.gpus = common.device.kind == "cuda";
  options.createDevice = [&](int index, int threads) {
    // Each process of this machine has a GPU of its own.
    DeviceSpec spec = common.device;
    if (!spec.index)
      spec.index = index;
    return kind->create(spec, threads);
  };
  QRT_ASSIGN_OR_RETURN(model.devices,
                       DeviceGroup::create(model.module, std::move(options)));
  DeviceGroup &devices = *model.devices;
  if (!devices.isRoot())
    std::exit(serveCommands(devices));
  if (!devices.origin().empty())
    std::fprintf(stderr, "%s as a mesh %s, collectives by %s\n",
                 devices.origin().c_str(), devices.mesh().str().c_str(),
                 devices.backend().c_str());
  return model;
}

std::string qrt::defaultRunDirectory(const Manifest &manifest) {
  return "runs/" + manifest.name;
}

Status qrt::openWeights(Model &model, const std::string &given) {
  std::string place = given;
  if (place.empty()) {
    std::string run = defaultRunDirectory(model.manifest());
    std::optional<std::string> latest;
    if (std::error_code ignored; fs::is_directory(run, ignored)) {
      QRT_ASSIGN_OR_RETURN(latest, findLatestComplete(run));
    }
    if (!latest)
      return makeError(7020, "",
                       "no weights: there is no checkpoint under {}; give "
                       "--weights W, or random:SEED to use random ones",
                       run);
    place = *latest;
  }
  QRT_ASSIGN_OR_RETURN(model.weights, WeightSource::open(place));
  return Status::success();
}

Expected<std::unique_ptr<SessionGroup>>
qrt::createSession(Model &model, std::vector<std::string> entries) {
  // An update needs masters, and then the other storages are made from them.
  bool updates = false, converts = false;
  for (const std::string &entry : entries) {
    updates |= entry == "optimizer_step";
    converts |= entry == "convert_storage";
  }
  if (updates && !converts &&
      model.manifest().findEntry("convert_storage") >= 0)
    entries.push_back("convert_storage");
  QRT_ASSIGN_OR_RETURN(auto session,
                       SessionGroup::create(*model.devices, entries));
  for (const std::string &note : model.device().takeNotes())
    fmt::print(stderr, "note: {}\n", note);
  QRT_RETURN_IF_ERROR(session->loadWeights(*model.weights));
  return session;
}

Expected<std::unique_ptr<Tokenizer>>
qrt::findTokenizer(const Model &model, const std::string &given) {
  if (!given.empty())
    return loadTokenizer(given);
  std::error_code ignored;
  if (model.weights) {
    const std::string &directory = model.weights->directory();
    if (model.weights->format() == WeightFormat::Hf && !directory.empty() &&
        fs::exists(fs::path(directory) / "tokenizer.json", ignored))
      return loadTokenizer(directory);
    if (const GgufFile *gguf = model.weights->gguf()) {
      if (gguf->find("tokenizer.ggml.tokens"))
        return tokenizerFromGguf(*gguf);
      if (!directory.empty() &&
          fs::exists(fs::path(directory) / "tokenizer.json", ignored))
        return loadTokenizer(directory);
    }
  }
  fs::path run = fs::path(defaultRunDirectory(model.manifest())) / "latest";
  if (fs::exists(run / "tokenizer.json", ignored))
    return loadTokenizer(run.string());
  return std::unique_ptr<Tokenizer>();
}

std::vector<uint32_t> qrt::byteLengthsOf(const Tokenizer *tokenizer,
                                         int64_t vocab) {
  std::vector<uint32_t> lengths;
  if (tokenizer)
    for (int64_t id = 0; id < vocab; ++id)
      lengths.push_back(static_cast<uint32_t>(
          tokenizer->byteLength(static_cast<TokenId>(id))));
  return lengths;
}

Expected<nlohmann::json> qrt::readOptionalJson(const std::string &directory,
                                               const std::string &name) {
  if (directory.empty())
    return nlohmann::json();
  fs::path path = fs::path(directory) / name;
  if (std::error_code ignored; !fs::exists(path, ignored))
    return nlohmann::json();
  QRT_ASSIGN_OR_RETURN(nlohmann::json value, readJsonFile(path.string()));
  if (!value.is_object())
    return makeError(3005, path.string(), "not a JSON object");
  return value;
}
