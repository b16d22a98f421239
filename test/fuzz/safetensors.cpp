//===- safetensors.cpp - Fuzzes the safetensors reader ----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Safetensors.h"

#include <cstdlib>

using namespace qrt;

/// Every tensor of an accepted file can be read in full.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string bytes(reinterpret_cast<const char *>(data), size);
  auto file = SafetensorsFile::open(
      RandomAccessFile::fromMemory(std::move(bytes), "input"));
  if (!file)
    return 0;
  for (const SafetensorsTensor &tensor : file->tensors()) {
    if (tensor.bytes > size)
      std::abort();
    std::string content(tensor.bytes, '\0');
    if (!file->read(tensor, 0, tensor.bytes, content.data()))
      std::abort();
  }
  return 0;
}
