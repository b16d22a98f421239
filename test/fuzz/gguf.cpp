//===- gguf.cpp - Fuzzes the GGUF reader and its vocabulary -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Gguf.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <cstdlib>

using namespace qrt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string bytes(reinterpret_cast<const char *>(data), size);
  auto file =
      GgufFile::open(RandomAccessFile::fromMemory(std::move(bytes), "input"));
  if (!file)
    return 0;
  for (const GgufTensor &tensor : file->tensors())
    if (tensor.offset > size || tensor.bytes > size - tensor.offset)
      std::abort();
  auto tokenizer = tokenizerFromGguf(*file);
  if (!tokenizer)
    return 0;
  if (auto ids = (*tokenizer)->encode("Hello, w\xC3\xB6rld 1\n"))
    (*tokenizer)->decode(*ids);
  return 0;
}
