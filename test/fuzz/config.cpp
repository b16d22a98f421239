//===- config.cpp - Fuzzes the reader of config.json ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Spec.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdlib>

/// The reader takes a path: the file lies in a folder under the current one.
static const std::string &configPath() {
  static const std::string path = [] {
    llvm::SmallString<128> folder("fuzz-config");
    if (llvm::sys::fs::create_directories(folder))
      std::abort();
    llvm::sys::path::append(folder, "config.json");
    return std::string(folder);
  }();
  return path;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  {
    std::error_code failure;
    llvm::raw_fd_ostream file(configPath(), failure);
    if (failure)
      std::abort();
    file.write(reinterpret_cast<const char *>(data), size);
  }
  auto spec = qwen::loadModel(configPath());
  if (!spec) {
    llvm::consumeError(spec.takeError());
    return 0;
  }
  spec->numParameters();
  qwen::manifestParameters(*spec);
  return 0;
}
