//===- Defaults.h - What a model's files say about sampling -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_INFER_DEFAULTS_H
#define QWEN_RUNTIME_INFER_DEFAULTS_H

#include "runtime/infer/Sampler.h"

#include <vector>

#include <nlohmann/json.hpp>

namespace qrt {

struct GenerationDefaults {
  SamplingOptions sampling; ///< without a file: temperature 1, no filter
  std::vector<int32_t> eos;
};

/// Reads generation_config.json (null: there is none); `do_sample: false` in it
/// means temperature 0. End-of-sequence ids come from it, or else from
/// config.json. A value of the wrong kind is an error (Q7034) at `where`.
Expected<GenerationDefaults>
readGenerationDefaults(const nlohmann::json &generationConfig,
                       const nlohmann::json &modelConfig,
                       const std::string &where);

} // namespace qrt

#endif // QWEN_RUNTIME_INFER_DEFAULTS_H
