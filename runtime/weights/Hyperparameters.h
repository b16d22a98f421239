//===- Hyperparameters.h - Checks of what a file says it holds --*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_HYPERPARAMETERS_H
#define QWEN_RUNTIME_WEIGHTS_HYPERPARAMETERS_H

#include "runtime/core/Error.h"
#include "runtime/weights/WeightSource.h"

#include <nlohmann/json.hpp>

namespace qrt {

/// Checks the metadata of a GGUF file, as far as it is there: sizes are
/// positive and divide each other as they must, reals are finite, the parts of
/// the vocabulary have equal lengths, special tokens exist, tensors have the
/// sizes that are named. A vocabulary without tensors is fine; a family that we
/// do not know is only held to what holds for all. The error (Q3012) lists all
/// findings.
Status checkGgufHyperparameters(const GgufFile &file);

/// The same for a config.json and the tensors beside it. `where` is its path.
Status checkHfConfig(const nlohmann::json &config, const WeightSource &source,
                     const std::string &where);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_HYPERPARAMETERS_H
