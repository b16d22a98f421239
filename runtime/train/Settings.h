//===- Settings.h - What a training run may change --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_SETTINGS_H
#define QWEN_RUNTIME_TRAIN_SETTINGS_H

#include "runtime/core/Manifest.h"
#include "runtime/train/Schedule.h"

#include <string>
#include <vector>

namespace qrt {

/// Applies one `--set key=value` to the defaults of a module. Errors: Q7010 (no
/// `=`, or a value of the wrong kind), Q7011 (unknown key; names the nearest),
/// Q7012 (a key that shapes code: the module would have to be compiled again).
Status applySetting(ManifestDefaults &settings, const std::string &assignment);

/// Refuses assignments that set the run's length in two ways (Q8002). One of
/// them replaces the module's default, whatever that is.
Status checkHorizons(const std::vector<std::string> &assignments);

/// Checks values that depend on one another or on ranges (Q8001..Q8003).
Status checkSettings(const ManifestDefaults &settings);

/// Tokens of one optimizer step: batch x sequence x accumulate.
int64_t tokensPerStep(const ManifestDefaults &settings);

/// The number of steps that the schedule's horizon means (steps, tokens, flops
/// or tokens per parameter). Errors: Q8002 when none or several are given.
Expected<int64_t> horizonSteps(const ManifestDefaults &settings,
                               const Manifest &manifest);

/// The schedule of a run of `total` steps.
Expected<Schedule> makeSchedule(const ManifestDefaults &settings,
                                int64_t total);

/// The settings as a JSON object with the YAML's keys (for the log).
nlohmann::json settingsToJson(const ManifestDefaults &settings);

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_SETTINGS_H
