//===- json.cpp - Fuzzes the JSON parser ------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"

#include <cstdlib>

using namespace qrt;

/// What is accepted must be written and read again as the same value.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view text(reinterpret_cast<const char *>(data), size);
  auto value = parseJson(text, "input");
  if (!value)
    return value.error().str().empty() ? -1 : 0;
  auto again = parseJson(jsonText(*value), "again");
  if (!again || *again != *value)
    std::abort();
  return 0;
}
