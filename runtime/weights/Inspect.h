//===- Inspect.h - What weights contain -------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_INSPECT_H
#define QWEN_RUNTIME_WEIGHTS_INSPECT_H

#include "runtime/core/Error.h"

#include <string>

#include <nlohmann/json.hpp>

namespace qrt {

/// Describes any W: {"format": "hf|gguf|random", "tensors": [{"name", "dtype",
/// "shape", "bytes"}], "elements", "bytes", "metadata": {...}} and, where there
/// are any, "config" (config.json) and "trainer" (trainer.json). Tensors of all
/// dtypes are shown. What is shown has been checked: structure, then
/// hyperparameters. Errors: those of WeightSource::open, Q3012.
Expected<nlohmann::json> describeWeights(const std::string &w);

/// The same for people: lines of text, safe for a terminal.
std::string weightsText(const nlohmann::json &description);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_INSPECT_H
