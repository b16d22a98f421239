//===- OptimizerGroups.h - What the optimizer step is given -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_OPTIMIZERGROUPS_H
#define QWEN_RUNTIME_TRAIN_OPTIMIZERGROUPS_H

#include "runtime/core/Manifest.h"

#include <vector>

namespace qrt {

/// The input `hyper` of the entry optimizer_step, f32 [groups, 8], for update
/// `step` (from 1) at the schedule's learning rate `lr`. A row is lr, beta1,
/// beta2, eps, weight_decay, clip, 1 - beta1^step, 1 - beta2^step of AdamW, and
/// lr, momentum, 0, eps, weight_decay, clip, 1, 1 of Muon, whose lr keeps its
/// proportion to that of AdamW. Groups without values of their own have the
/// optimizer's.
std::vector<float> hyperParameters(const OptimizerDefaults &optimizer,
                                   int64_t groups, double lr, int64_t step);

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_OPTIMIZERGROUPS_H
