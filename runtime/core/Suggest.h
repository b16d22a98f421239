//===- Suggest.h - The nearest valid name -----------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_SUGGEST_H
#define QWEN_RUNTIME_CORE_SUGGEST_H

#include <string>
#include <string_view>
#include <vector>

namespace qrt {

/// The number of single-character edits (and swaps of neighbours) between two
/// names; names longer than 128 bytes count as unrelated.
size_t editDistance(std::string_view a, std::string_view b);

/// The candidate nearest to `name`, or empty if none is near enough to be what
/// the user meant.
std::string nearestName(std::string_view name,
                        const std::vector<std::string> &candidates);

/// "; did you mean 'x'?" or nothing. Made to be put behind a message.
std::string didYouMean(std::string_view name,
                       const std::vector<std::string> &candidates);

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_SUGGEST_H
