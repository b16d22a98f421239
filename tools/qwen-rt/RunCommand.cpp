//===- RunCommand.cpp - qwen-rt run ---------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs one entry point on tensors from a file. State that is not weights begins
// as zeros.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/core/Suggest.h"
#include "runtime/weights/Parameters.h"
#include "runtime/weights/Safetensors.h"
#include "tools/qwen-rt/Model.h"

#include <cstdio>
#include <cstring>
#include <fmt/ranges.h>

using namespace qrt;

namespace {

struct RunOptions {
  std::string model, entry, weights, inputs, output;
};

constexpr const char *kLossAndGrad = "loss_and_grad";

/// One input as the module takes it.
struct InputTensor {
  std::vector<int64_t> shape;
  std::vector<char> bytes;
};

/// Reads `info` from the file; ids may be i32 or i64 there.
Expected<InputTensor> readInput(const SafetensorsFile &file,
                                const SafetensorsTensor &info, DType type) {
  InputTensor result;
  result.shape = info.shape;
  int64_t count = info.numElements();
  bool isId = type == DType::I32;
  const char *want = isId ? "I32 or I64" : "F32";
  if (!(isId ? info.dtype == "I32" || info.dtype == "I64"
             : type == DType::F32 && info.dtype == "F32"))
    return makeError(7042, file.path(), "input '{}' has type {}, not {}",
                     info.name, info.dtype, want);
  result.bytes.resize(count * 4);
  if (info.dtype != "I64") {
    QRT_RETURN_IF_ERROR(
        file.read(info, 0, result.bytes.size(), result.bytes.data()));
    return result;
  }
  std::vector<int64_t> wide(count);
  QRT_RETURN_IF_ERROR(file.read(info, 0, count * 8, wide.data()));
  auto *narrow = reinterpret_cast<int32_t *>(result.bytes.data());
  for (int64_t i = 0; i < count; ++i) {
    if (wide[i] != static_cast<int32_t>(wide[i]))
      return makeError(7042, file.path(), "input '{}' holds {}, no id",
                       info.name, wide[i]);
    narrow[i] = static_cast<int32_t>(wide[i]);
  }
  return result;
}

/// Ids index tables: one out of range would read foreign memory.
Status checkIds(const std::string &path, const std::string &name,
                const InputTensor &tensor, int64_t vocab) {
  int32_t low = name == "targets" ? -1 : 0;
  const auto *ids = reinterpret_cast<const int32_t *>(tensor.bytes.data());
  for (size_t i = 0; i < tensor.bytes.size() / 4; ++i)
    if (ids[i] < low || ids[i] >= vocab)
      return makeError(7043, path,
                       "input '{}' holds {} at index {}, the vocabulary has {} "
                       "ids{}",
                       name, ids[i], i, vocab,
                       low < 0 ? " (-1 is ignored)" : "");
  return Status::success();
}

class EntryRun {
public:
  EntryRun(const RunOptions &options, const EntryInfo &info,
           SessionGroup &session, const SafetensorsFile &file)
      : options(options), info(info), session(session), file(file) {}

  Status readInputs() {
    for (const ArgInfo &arg : info.args) {
      if (arg.role != ArgRole::Input)
        continue;
      // Part of the composite; see runComposite.
      if (options.entry == kLossAndGrad && arg.name == "inv_count")
        continue;
      const SafetensorsTensor *tensor = file.find(arg.name);
      if (!tensor && arg.optional)
        continue;
      if (!tensor) {
        std::vector<std::string> names;
        for (const SafetensorsTensor &other : file.tensors())
          names.push_back(other.name);
        return makeError(7041, options.inputs,
                         "entry point '{}' needs the input '{}' (the file has "
                         "{})",
                         options.entry, arg.name, fmt::join(names, ", "));
      }
      QRT_ASSIGN_OR_RETURN(InputTensor input,
                           readInput(file, *tensor, arg.dtype));
      QRT_RETURN_IF_ERROR(takeShape(arg, input));
      if (arg.name == "tokens" || arg.name == "targets")
        QRT_RETURN_IF_ERROR(checkIds(options.inputs, arg.name, input,
                                     session.manifest().vocab()));
      inputs[arg.name] = std::move(input);
    }
    return Status::success();
  }

  /// The actual sizes come from the inputs' shapes.
  Status takeShape(const ArgInfo &arg, const InputTensor &input) {
    bool fits = input.shape.size() == arg.shape.size();
    for (size_t i = 0; fits && i < arg.shape.size(); ++i) {
      const DimInfo &dim = arg.shape[i];
      if (dim.extent < 0) {
        fits = input.shape[i] == dim.size;
        continue;
      }
      const std::string &name = info.extents[dim.extent].name;
      auto [it, isNew] = extents.emplace(name, input.shape[i]);
      if (!isNew && it->second != input.shape[i])
        return makeError(7042, options.inputs,
                         "input '{}' has {} {}, another input has {}", arg.name,
                         name, input.shape[i], it->second);
      if (input.shape[i] < 1 || input.shape[i] > dim.size)
        return makeError(7042, options.inputs,
                         "input '{}' has {} {}, the module is compiled for 1 "
                         "to {}",
                         arg.name, name, input.shape[i], dim.size);
    }
    if (fits)
      return Status::success();
    std::vector<std::string> want;
    for (const DimInfo &dim : arg.shape)
      want.push_back(dim.extent >= 0 ? info.extents[dim.extent].name
                                     : std::to_string(dim.size));
    return makeError(7042, options.inputs,
                     "input '{}' has shape [{}], not [{}]", arg.name,
                     fmt::join(input.shape, ", "), fmt::join(want, ", "));
  }

  /// Calls the entry; its outputs become tensors of the result.
  Status call() {
    QRT_ASSIGN_OR_RETURN(GroupCall call, session.prepare(info.name));
    for (auto &[name, size] : extents)
      call.setExtent(name, size);
    for (auto &[name, input] : inputs)
      call.bindInput(name, input.bytes.data());
    float inverse = 1;
    if (options.entry == kLossAndGrad) {
      int64_t count = targetCount();
      if (count == 0)
        return makeError(7044, options.inputs,
                         "all targets are masked: there is no loss");
      inverse = static_cast<float>(1.0 / double(count));
      call.bindInput("inv_count", &inverse);
    }
    std::vector<int64_t> actual;
    for (const ExtentInfo &extent : info.extents) {
      auto it = extents.find(extent.name);
      actual.push_back(it == extents.end() ? extent.max : it->second);
    }
    for (const ArgInfo &arg : info.args) {
      if (arg.role != ArgRole::Output)
        continue;
      std::vector<char> &bytes = outputs[arg.name];
      bytes.resize(info.elements(arg, actual.data()) * bytesOf(arg.dtype));
      call.bindOutput(arg.name, bytes.data());
      OutputTensor tensor;
      tensor.name = arg.name;
      tensor.dtype = arg.dtype == DType::F32 ? "F32" : "I32";
      for (const DimInfo &dim : arg.shape)
        tensor.shape.push_back(dim.extent >= 0 ? actual[dim.extent] : dim.size);
      tensor.data = bytes.data();
      results.push_back(std::move(tensor));
    }
    QRT_RETURN_IF_ERROR(call.run());
    if (options.entry == kLossAndGrad) {
      // The module sums; the loss is the mean that the gradients are of.
      auto *loss = reinterpret_cast<float *>(outputs["loss"].data());
      *loss = static_cast<float>(double(*loss) / double(targetCount()));
    }
    return Status::success();
  }

  Status addGradients() {
    const auto &parameters = session.manifest().parameters;
    QRT_ASSIGN_OR_RETURN(auto gradients, parameterTensors(
                                             parameters,
                                             [this](size_t p, int64_t layer) {
                                               return session.readState(
                                                   {ArgRole::Gradient, ""},
                                                   static_cast<int>(p), layer);
                                             },
                                             "grad."));
    for (OutputTensor &tensor : gradients)
      results.push_back(std::move(tensor));
    return Status::success();
  }

  Status write() const { return writeSafetensors(options.output, results, {}); }

  nlohmann::json names() const {
    nlohmann::json list = nlohmann::json::array();
    for (const OutputTensor &tensor : results)
      list.push_back(tensor.name);
    return list;
  }

private:
  int64_t targetCount() {
    const auto &bytes = inputs["targets"].bytes;
    const auto *targets = reinterpret_cast<const int32_t *>(bytes.data());
    int64_t count = 0;
    for (size_t i = 0; i < bytes.size() / 4; ++i)
      count += targets[i] >= 0;
    return count;
  }

  const RunOptions &options;
  const EntryInfo &info;
  SessionGroup &session;
  const SafetensorsFile &file;
  std::map<std::string, InputTensor> inputs;
  std::map<std::string, int64_t> extents;
  std::map<std::string, std::vector<char>> outputs;
  std::vector<OutputTensor> results;
};

Expected<int> runEntry(const RunOptions &options, const CommonOptions &common) {
  QRT_ASSIGN_OR_RETURN(Model model, openModel(options.model, common));
  const Manifest &manifest = model.manifest();
  std::string entry =
      options.entry == kLossAndGrad ? "micro_step" : options.entry;
  int index = manifest.findEntry(entry);
  if (index < 0) {
    std::vector<std::string> names;
    for (const EntryInfo &item : manifest.entries)
      names.push_back(item.name);
    if (manifest.findEntry("micro_step") >= 0)
      names.push_back(kLossAndGrad);
    return makeError(6032, options.model,
                     "the module has no entry point '{}' (it has {}){}",
                     options.entry, fmt::join(names, ", "),
                     didYouMean(options.entry, names));
  }
  QRT_ASSIGN_OR_RETURN(SafetensorsFile file,
                       SafetensorsFile::open(options.inputs));
  QRT_RETURN_IF_ERROR(openWeights(model, options.weights));
  QRT_ASSIGN_OR_RETURN(std::unique_ptr<SessionGroup> session,
                       createSession(model, {entry}));
  EntryRun run(options, manifest.entries[index], *session, file);
  QRT_RETURN_IF_ERROR(run.readInputs());
  QRT_RETURN_IF_ERROR(run.call());
  if (options.entry == kLossAndGrad)
    QRT_RETURN_IF_ERROR(run.addGradients());
  QRT_RETURN_IF_ERROR(run.write());
  if (common.json)
    std::printf("%s\n", jsonText({{"entry", options.entry},
                                  {"output", options.output},
                                  {"tensors", run.names()}})
                            .c_str());
  return 0;
}

} // namespace

void qrt::addRunCommand(CLI::App &app, CommonOptions &common) {
  auto options = std::make_shared<RunOptions>();
  CLI::App *command = addCommand(
      app, common, "run", "run one entry point of a module",
      "  qwen-rt run model.so --entry logits --weights W --inputs "
      "in.safetensors "
      "-o out.safetensors\n"
      "  qwen-rt run model.so --entry loss_and_grad --weights "
      "random:1 --inputs "
      "batch.safetensors -o grads.safetensors\n\nInputs are found by "
      "name; `documents` (i32, where a row holds several) may be "
      "absent.\n");
  addModelArgument(*command, options->model);
  command
      ->add_option("--entry", options->entry,
                   "entry point (logits, loss_and_grad, ...; see inspect)")
      ->required();
  command->add_option("--weights", options->weights,
                      "safetensors file or index, Hugging Face directory, "
                      "checkpoint, GGUF file, or random:SEED (default: the "
                      "newest checkpoint)");
  command
      ->add_option("--inputs", options->inputs,
                   "safetensors file with the inputs, by name")
      ->required();
  command->add_option("--output,-o", options->output, "safetensors file")
      ->required();
  addDeviceOptions(*command, common);
  addJsonOption(*command, common);
  onRun(*command, common,
        [options, &common] { return runEntry(*options, common); });
}
