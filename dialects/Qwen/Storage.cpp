//===- Storage.cpp - The quantized forms of a parameter -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/Storage.h"

using namespace mlir;

RankedTensorType qwen::storage::partType(RankedTensorType master,
                                         StringRef storage) {
  if (master.getRank() != 2)
    return {};
  int64_t n = master.getDimSize(0), k = master.getDimSize(1);
  Type i8 = IntegerType::get(master.getContext(), 8);
  Type f32 = Float32Type::get(master.getContext());
  if (storage == kInt8)
    return RankedTensorType::get({n, k}, i8);
  if (storage == kInt8Scale)
    return RankedTensorType::get({n}, f32);
  if (k % kGroup)
    return {};
  if (storage == kInt4)
    return RankedTensorType::get({n, k / 2}, i8);
  if (storage == kInt4Step)
    return RankedTensorType::get({n, k / kGroup}, i8);
  if (storage == kInt4Scale)
    return RankedTensorType::get({n}, f32);
  return {};
}
