//===- Images.h - Which code of a module a GPU runs -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDA_IMAGES_H
#define QWEN_RUNTIME_CUDA_IMAGES_H

#include "runtime/abi/qwen_module.h"
#include "runtime/cuda/Driver.h"

#include <string>
#include <string_view>
#include <vector>

namespace qrt::cuda {

/// "sm_90a cubin", "sm_80 PTX".
std::string nameOf(const qrt_image &image);

/// The images that run on a GPU of compute capability `arch` (90 for 9.0), best
/// first: its own cubin, a cubin of an earlier one of the same generation, PTX
/// for this architecture alone, PTX of the newest architecture that is not
/// newer.
std::vector<const qrt_image *> imagesFor(const qrt_variant &variant,
                                         uint32_t arch);

/// Why the driver's compiler made code that is right but slow or refused
/// tensor-core code: lines with C7504 (setmaxnreg ignored), C7510 or C7512
/// (wgmma serialised); empty if it did neither.
std::string serialisation(std::string_view log);

struct LoadedImage {
  CUmodule module = nullptr;
  const qrt_image *image = nullptr;
  /// The module has code for particular GPUs, but this is the code for all.
  bool portable = false;
};

/// Loads the first image that the driver takes. Errors: Q6051 with what was
/// tried and why each was refused.
Expected<LoadedImage> loadImage(const Driver &driver,
                                const qrt_variant &variant, uint32_t arch,
                                const std::string &device,
                                const std::string &where);

} // namespace qrt::cuda

#endif // QWEN_RUNTIME_CUDA_IMAGES_H
