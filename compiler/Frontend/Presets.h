//===- Presets.h - The presets built into the compiler ----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Copies of models/, so that `extends` and Hugging Face directories work
// wherever the compiler is.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FRONTEND_PRESETS_H
#define QWEN_COMPILER_FRONTEND_PRESETS_H

#include "llvm/ADT/ArrayRef.h"

namespace qwen {

struct Preset {
  const char *name; // as `families/llama.yaml`
  const char *text;
};

/// All presets, sorted by name.
llvm::ArrayRef<Preset> builtinPresets();

} // namespace qwen

#endif // QWEN_COMPILER_FRONTEND_PRESETS_H
