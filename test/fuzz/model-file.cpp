//===- model-file.cpp - Fuzzes the reader of model files --------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef text(reinterpret_cast<const char *>(data), size);
  auto spec = qwen::loadModelFromString(text, "input.yaml");
  if (!spec) {
    llvm::consumeError(spec.takeError());
    return 0;
  }
  // What was accepted can be counted and written down.
  spec->numParameters();
  spec->flopsPerToken();
  qwen::manifestParameters(*spec);
  return 0;
}
