//===- Model.h - A module with its weights and tokenizer --------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the subcommands share: opening a module, finding weights and tokenizer
// where the defaults say, filling a session.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TOOLS_QWEN_RT_MODEL_H
#define QWEN_TOOLS_QWEN_RT_MODEL_H

#include "runtime/mesh/SessionGroup.h"
#include "runtime/tokenizer/Tokenizer.h"
#include "runtime/weights/WeightSource.h"
#include "tools/qwen-rt/Command.h"

#include <memory>
#include <string>
#include <vector>

namespace qrt {

/// A module on the devices of its mesh.
struct Model {
  std::shared_ptr<const Module> module;
  std::unique_ptr<DeviceGroup> devices;
  std::unique_ptr<WeightSource> weights; ///< null until openWeights

  /// With logical shapes and extents.
  const Manifest &manifest() const { return devices->manifest(); }
  /// The first device of this process.
  Device &device() { return devices->device(0); }
};

/// The option --data-type u16|u32 for token files that do not tell their type.
void addDataTypeOption(CLI::App &command, std::string &type);
/// Bytes of an id of that type; 0 for none.
inline unsigned idWidth(const std::string &type) {
  return type.empty() ? 0 : type == "u16" ? 2 : 4;
}

/// Adds the positional argument `model` (default model.so).
void addModelArgument(CLI::App &command, std::string &path);

/// Loads a module and starts its devices with the threads the user asked for.
/// Of a job of several processes only rank 0 comes back; the others do what it
/// tells them and exit.
Expected<Model> openModel(const std::string &path, const CommonOptions &common);

/// runs/<model name>.
std::string defaultRunDirectory(const Manifest &manifest);

/// Opens the weights `given`; if empty, the newest complete checkpoint under
/// the model's run directory. Errors: Q7020 (neither), those of opening.
Status openWeights(Model &model, const std::string &given);

/// A session for `entries` that holds the model's weights.
Expected<std::unique_ptr<SessionGroup>>
createSession(Model &model, std::vector<std::string> entries);

/// The tokenizer `given`; if empty, the one beside the weights, else inside the
/// GGUF file, else in the model's newest checkpoint; null if there is none.
Expected<std::unique_ptr<Tokenizer>> findTokenizer(const Model &model,
                                                   const std::string &given);

/// Bytes of text of every id of the vocabulary; empty without a tokenizer.
std::vector<uint32_t> byteLengthsOf(const Tokenizer *tokenizer, int64_t vocab);

/// DIR/name as a JSON object; null if there is no such file.
Expected<nlohmann::json> readOptionalJson(const std::string &directory,
                                          const std::string &name);

} // namespace qrt

#endif // QWEN_TOOLS_QWEN_RT_MODEL_H
