//===- Outliers.h - How unusual a loss or a norm is ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_OUTLIERS_H
#define QWEN_RUNTIME_TRAIN_OUTLIERS_H

#include <cstdint>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

namespace qrt {

/// The last values of a series, against which the next one is held. Part of a
/// checkpoint: a resumed run decides as the uninterrupted one.
class OutlierWindow {
public:
  static constexpr size_t kLength = 128; ///< values that are remembered
  static constexpr size_t kLeast = 32;   ///< fewer say nothing

  /// z = (x - mean) / standard deviation of the window. None while there are
  /// too few values, or if they are all the same; infinity for an x that is not
  /// finite.
  std::optional<double> score(double x) const;

  /// Remembers x, if it is finite.
  void add(double x);

  nlohmann::json toJson() const { return values; }
  /// What toJson() gave; anything else leaves the window empty.
  void fromJson(const nlohmann::json &json);

private:
  std::vector<double> values; // oldest first
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_OUTLIERS_H
