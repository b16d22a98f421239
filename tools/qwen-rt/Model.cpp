//===- Model.cpp - A module with its weights and tokenizer ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/qwen-rt/Model.h"
#include "runtime/core/HostState.h"
#include "runtime/core/Json.h"
#include "runtime/weights/Checkpoint.h"
#include "runtime/weights/Parameters.h"
#include "tools/qwen-rt/Devices.h"

#include <filesystem>
#include <set>

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
  QRT_ASSIGN_OR_RETURN(
      model.device,
      kind->create(common.device, threadsPerDevice(common.threads, 1)));
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

std::function<void(int64_t, const std::function<void(int64_t)> &)>
qrt::parallelTasks(Device &device) {
  return [&device](int64_t n, const std::function<void(int64_t)> &task) {
    device.pool().parallelFor(
        "weights",
        [](void *raw, int64_t begin, int64_t end, void *) {
          const auto &run =
              *static_cast<const std::function<void(int64_t)> *>(raw);
          for (int64_t i = begin; i < end; ++i)
            run(i);
        },
        const_cast<std::function<void(int64_t)> *>(&task), n, 1);
  };
}

namespace {

/// The quantized form of layer `layer` of parameter `p` whose numbers are in
/// `storage` ("int8" or "int4").
QuantizedMatrix quantizedTarget(Session &session, const StateWriter &writer,
                                size_t p, int64_t layer,
                                const std::string &storage) {
  const ParameterInfo &info = session.manifest().parameters[p];
  auto part = [&](const std::string &name) -> void * {
    auto *base = writer.hostAddress(
        static_cast<char *>(session.parameter(static_cast<int>(p), name)));
    return base ? base + layer * info.elementsPerLayer(name) *
                             bytesOf(info.storages.at(name))
                : nullptr;
  };
  return {info.shape[1], static_cast<int8_t *>(part(storage)),
          static_cast<float *>(part(storage + "_scale")),
          static_cast<int8_t *>(part(storage + "_step"))};
}

/// For a session without masters: reads the values straight into the storages
/// that its entries use, rounded or quantized to their types.
Status loadWithoutMasters(Model &model, Session &session) {
  const auto &parameters = session.manifest().parameters;
  std::set<std::string> names;
  for (size_t p = 0; p < parameters.size(); ++p)
    for (const auto &[storage, type] : parameters[p].storages) {
      if (!session.parameter(static_cast<int>(p), storage))
        continue;
      // Scales and steps are written with the numbers they belong to.
      bool isPart = storage.find("_scale") != std::string::npos ||
                    storage.find("_step") != std::string::npos;
      bool isKnown = type == DType::F32 || type == DType::BF16 ||
                     storage == "int8" || storage == "int4";
      if (!isPart && !isKnown)
        return makeError(6018, session.module().path(),
                         "storage '{}' has type {}, which this qwen-rt cannot "
                         "fill",
                         storage, nameOf(type));
      if (!isPart)
        names.insert(storage);
    }
  QRT_ASSIGN_OR_RETURN(StateWriter writer,
                       StateWriter::create(session, "parameter."));
  for (const std::string &storage : names) {
    auto at = [&](size_t p, int64_t layer) {
      auto *base = writer.hostAddress(
          static_cast<char *>(session.parameter(static_cast<int>(p), storage)));
      if (!base)
        return ParameterTarget{};
      if (storage == "int8" || storage == "int4")
        return ParameterTarget{
            nullptr, DType::I8,
            quantizedTarget(session, writer, p, layer, storage)};
      DType type = parameters[p].storages.at(storage);
      return ParameterTarget{base + layer * parameters[p].elementsPerLayer() *
                                        bytesOf(type),
                             type};
    };
    QRT_RETURN_IF_ERROR(loadParametersAs(*model.weights, parameters, at,
                                         parallelTasks(*model.device)));
  }
  return writer.finish();
}

/// Whether the session holds f32 masters of all parameters.
bool hasMasters(const Session &session) {
  const auto &parameters = session.manifest().parameters;
  for (size_t p = 0; p < parameters.size(); ++p)
    if (!session.parameter(static_cast<int>(p), "master"))
      return false;
  return true;
}

} // namespace

Expected<std::unique_ptr<Session>>
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
  QRT_ASSIGN_OR_RETURN(std::unique_ptr<Session> session,
                       Session::create(model.module, *model.device, entries));
  for (const std::string &note : model.device->takeNotes())
    fmt::print(stderr, "note: {}\n", note);
  const auto &parameters = session->manifest().parameters;
  if (!hasMasters(*session)) {
    QRT_RETURN_IF_ERROR(loadWithoutMasters(model, *session));
    return session;
  }
  QRT_ASSIGN_OR_RETURN(StateWriter writer,
                       StateWriter::create(*session, "parameter.master"));
  auto at = [&](size_t p, int64_t layer) {
    return writer.hostAddress(static_cast<float *>(session->parameter(
                                  static_cast<int>(p), "master")) +
                              layer * parameters[p].elementsPerLayer());
  };
  QRT_RETURN_IF_ERROR(loadParameters(*model.weights, parameters, at,
                                     parallelTasks(*model.device)));
  QRT_RETURN_IF_ERROR(writer.finish());
  QRT_RETURN_IF_ERROR(session->convertStorages());
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
