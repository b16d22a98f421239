//===- InspectCommand.cpp - qwen-rt inspect -------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Shows a module's manifest or the contents of a weight file. A module is read,
// never executed.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/core/Progress.h"
#include "runtime/weights/Inspect.h"
#include "tools/qwen-rt/Command.h"

#include "runtime/core/Manifest.h"

#include <cstdio>
#include <filesystem>
#include <fmt/ranges.h>
#include <fstream>

using namespace qrt;

namespace {

struct InspectOptions {
  std::string path;
};

void print(const std::string &line) { std::printf("%s\n", line.c_str()); }

std::string shapeText(const std::vector<int64_t> &shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

bool isElf(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  return file.read(magic, 4) && std::string(magic, 4) == "\x7f"
                                                         "ELF";
}

void printParameters(const Manifest &manifest) {
  print(fmt::format("parameters ({}):", manifest.parameterCount()));
  for (const ParameterInfo &parameter : manifest.parameters) {
    std::string layers =
        parameter.layers ? fmt::format("{} x ", *parameter.layers) : "";
    std::string file;
    if (auto it = parameter.views.find("hf");
        it != parameter.views.end() && !it->second.empty())
      file = it->second.front().name;
    print(fmt::format("  {:<20} {:<24} {}", parameter.name,
                      layers + shapeText(parameter.shape), file));
  }
}

void printEntries(const Manifest &manifest) {
  print("entry points:");
  for (const EntryInfo &entry : manifest.entries) {
    std::vector<std::string> inputs, outputs, extents;
    for (const ArgInfo &arg : entry.args) {
      if (arg.role == ArgRole::Input)
        inputs.push_back(arg.name);
      if (arg.role == ArgRole::Output)
        outputs.push_back(arg.name);
    }
    for (const ExtentInfo &extent : entry.extents)
      extents.push_back(fmt::format("{} <= {}", extent.name, extent.max));
    print(fmt::format("  {:<16} ({}) -> ({})  {}  arena {}", entry.name,
                      fmt::join(inputs, ", "), fmt::join(outputs, ", "),
                      fmt::join(extents, ", "),
                      formatBytes(double(entry.arenaBytes))));
  }
}

Expected<int> inspectModule(const std::string &path, bool asJson) {
  QRT_ASSIGN_OR_RETURN(Manifest manifest, readManifest(path));
  if (asJson) {
    print(jsonText(manifest.json, 2));
    return 0;
  }
  print(fmt::format("module {} ({}, ABI {})", manifest.name, manifest.compiler,
                    manifest.abi));
  print(fmt::format("architecture {}, {}", manifest.family,
                    nameOf(manifest.dtype)));
  std::vector<std::string> dims;
  for (const auto &[name, size] : manifest.dims)
    dims.push_back(fmt::format("{} {}", name, size));
  print(fmt::format("dims: {}", fmt::join(dims, ", ")));
  std::vector<std::string> mesh;
  for (const auto &[axis, size] : manifest.mesh)
    mesh.push_back(fmt::format("{}={}", axis, size));
  print(fmt::format("mesh: {}", fmt::join(mesh, ",")));
  for (const TargetInfo &target : manifest.targets)
    for (const VariantInfo &variant : target.variants)
      print(fmt::format("target {}: {} (needs {})", target.target,
                        variant.level, fmt::join(variant.features, " ")));
  const auto &train = manifest.defaults.train;
  if (manifest.findEntry("micro_step") >= 0)
    print(fmt::format("training: {} x {} tokens, accumulate {}, {} lr {}",
                      train.batch, train.sequence, train.accumulate,
                      train.optimizer.kind, train.optimizer.lr));
  const auto &infer = manifest.defaults.infer;
  if (manifest.findEntry("decode") >= 0)
    print(fmt::format("inference: batch {}, context {}, prefill {}",
                      infer.batch, infer.context, infer.prefill));
  printParameters(manifest);
  printEntries(manifest);
  return 0;
}

Expected<int> inspectWeights(const std::string &path, bool asJson) {
  QRT_ASSIGN_OR_RETURN(nlohmann::json description, describeWeights(path));
  if (asJson)
    print(jsonText(description, 2));
  else
    std::printf("%s", weightsText(description).c_str());
  return 0;
}

Expected<int> runInspect(const InspectOptions &options,
                         const CommonOptions &common) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(options.path, ignored) &&
      isElf(options.path))
    return inspectModule(options.path, common.json);
  return inspectWeights(options.path, common.json);
}

} // namespace

void qrt::addInspectCommand(CLI::App &app, CommonOptions &common) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App *command = addCommand(
      app, common, "inspect", "show what a module or a weight file contains",
      "  qwen-rt inspect model.so\n"
      "  qwen-rt inspect runs/tiny/latest --json\n"
      "  qwen-rt inspect weights.gguf\n"
      "A module is only read here; every other subcommand runs its code, so "
      "use modules that you trust.\n");
  options->path = "./model.so";
  command->add_option("file", options->path,
                      "module, safetensors file or index, directory, "
                      "checkpoint or GGUF file (default: ./model.so)");
  addJsonOption(*command, common);
  onRun(*command, common,
        [options, &common] { return runInspect(*options, common); });
}
