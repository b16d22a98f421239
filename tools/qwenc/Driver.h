//===- Driver.h - From a model file to model.so -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TOOLS_QWENC_DRIVER_H
#define QWEN_TOOLS_QWENC_DRIVER_H

#include "tools/qwenc/CommandLine.h"

namespace qwenc {

/// Does what `options` asks for. Everything that goes wrong is told on stderr.
/// Returns the program's exit code.
int runDriver(const Options &options);

} // namespace qwenc

#endif // QWEN_TOOLS_QWENC_DRIVER_H
