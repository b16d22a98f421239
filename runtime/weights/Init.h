//===- Init.h - Random initial weights --------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every element is a function of (seed, Hugging Face name with the layer's
// index, row-major index in the file's tensor) alone, made of basic IEEE
// operations: the same bits on every machine and for any number of threads.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_INIT_H
#define QWEN_RUNTIME_WEIGHTS_INIT_H

#include "runtime/core/Manifest.h"
#include "runtime/core/Philox.h"

#include <cstdint>
#include <string_view>

namespace qrt {

/// Elements [begin, begin + count) of the tensor `name` in its initial state.
/// Normals are mean + std * z with |z| < 6.7; uniforms lie in [low, high].
void initialValues(const InitInfo &init, uint64_t seed, std::string_view name,
                   uint64_t begin, uint64_t count, float *out);

/// The same, from other keys (used by tests and for other purposes).
void initialValues(const InitInfo &init, const Philox &random, uint64_t stream,
                   uint64_t begin, uint64_t count, float *out);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_INIT_H
