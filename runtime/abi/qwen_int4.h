/*===- qwen_int4.h - The numbers of int4 weights ------------------*- C -*-===*\
|*
|* Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|*===----------------------------------------------------------------------===*|
|*
|* A half byte h from -8 to 7 stands for the number h (h^2 + 144): dense near 0,
|* where most weights are. Of all h (h^2 + c) these have the least squared error
|* for normal weights in groups of 32, 17 % less than equal distances.
|*
\*===----------------------------------------------------------------------===*/

#ifndef QWEN_RUNTIME_ABI_QWEN_INT4_H
#define QWEN_RUNTIME_ABI_QWEN_INT4_H

#include <stdint.h>

#define QRT_INT4_CURVE 144

static inline int32_t qrt_int4_number(int32_t half) {
  return half * (half * half + QRT_INT4_CURVE);
}

#endif /* QWEN_RUNTIME_ABI_QWEN_INT4_H */
