//===- manifest.cpp - Fuzzes the manifest's reader --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Manifest.h"

using namespace qrt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view text(reinterpret_cast<const char *>(data), size);
  auto manifest = parseManifest(text, "input");
  if (!manifest)
    return 0;
  // What it promises to have checked: nothing here may overflow.
  manifest->parameterCount();
  manifest->vocab();
  for (const EntryInfo &entry : manifest->entries)
    for (const ArgInfo &arg : entry.args)
      entry.elements(arg);
  return 0;
}
