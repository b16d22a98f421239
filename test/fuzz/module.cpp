//===- module.cpp - Fuzzes the reader of ELF sections -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/abi/qwen_module.h"
#include "runtime/core/Manifest.h"

#include <cstdlib>

using namespace qrt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view file(reinterpret_cast<const char *>(data), size);
  auto section = findElfSection(file, QRT_MANIFEST_SECTION, "input");
  if (!section)
    return 0;
  // Whatever it says: a part of the file.
  if (section->data() < file.data() ||
      section->data() + section->size() > file.data() + file.size())
    std::abort();
  (void)parseManifest(*section, "input");
  return 0;
}
