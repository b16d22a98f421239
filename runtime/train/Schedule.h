//===- Schedule.h - The learning rate of every step -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_SCHEDULE_H
#define QWEN_RUNTIME_TRAIN_SCHEDULE_H

#include "runtime/core/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qrt {

/// Learning rates over a run. Step s counts from 0. During warmup the rate is
/// lr (s + 1) / warmup; then, with r running from 0 at the end of warmup to 1
/// at the last step `total`:
///   cosine    min + (1 + cos(pi r)) / 2 (lr - min)
///   linear    min + (1 - r) (lr - min)
///   constant  lr
///   wsd       lr; over the last `decay` of all steps min + (1 - sqrt(q)) (lr -
///             min) with q running from 0 to 1 (arXiv 2405.18392)
///   trapezoid lr; over the last `decay` of all steps min + (1 - q) (lr - min)
/// Beyond `total` it stays at the last value.
struct Schedule {
  enum class Kind { Cosine, Linear, Constant, Wsd, Trapezoid };
  Kind kind = Kind::Constant;
  double lr = 0, minLr = 0;
  double decay = 0.2; ///< part of all steps, of wsd and trapezoid
  int64_t warmup = 0, total = 1;

  double at(int64_t step) const;

  /// Names of all kinds, in the enum's order.
  static const std::vector<std::string> &kinds();
  /// Errors: Q8003, naming the nearest kind.
  static Expected<Kind> parseKind(const std::string &name);
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_SCHEDULE_H
