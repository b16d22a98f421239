//===- Images.cpp - Which code of a module a GPU runs ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/Images.h"

#include <algorithm>

#include <fmt/ranges.h>

using namespace qrt;
using namespace qrt::cuda;

std::string qrt::cuda::nameOf(const qrt_image &image) {
  return fmt::format("sm_{}{} {}", image.arch, image.arch_specific ? "a" : "",
                     image.kind == QRT_CUBIN ? "cubin" : "PTX");
}

std::vector<const qrt_image *> qrt::cuda::imagesFor(const qrt_variant &variant,
                                                    uint32_t arch) {
  auto rank = [arch](const qrt_image &image) {
    bool cubin = image.kind == QRT_CUBIN;
    if (image.arch_specific)
      return image.arch != arch ? 0 : cubin ? 1000 : 800;
    if (image.arch > arch)
      return 0;
    // Binary code runs on later GPUs of its generation.
    if (cubin)
      return image.arch / 10 == arch / 10 ? 600 + int(image.arch) : 0;
    return 100 + int(image.arch);
  };
  std::vector<const qrt_image *> images;
  for (uint32_t i = 0; i < variant.num_images; ++i)
    if (rank(variant.images[i]) > 0)
      images.push_back(&variant.images[i]);
  std::stable_sort(images.begin(), images.end(),
                   [&](const qrt_image *a, const qrt_image *b) {
                     return rank(*a) > rank(*b);
                   });
  return images;
}

std::string qrt::cuda::serialisation(std::string_view log) {
  std::string found;
  while (!log.empty()) {
    size_t end = log.find('\n');
    std::string_view line = log.substr(0, end);
    for (std::string_view code : {"C7504", "C7510", "C7512"})
      if (line.find(code) != line.npos)
        found += (found.empty() ? "" : "; ") + std::string(line);
    log.remove_prefix(end == log.npos ? log.size() : end + 1);
  }
  return found;
}

namespace {

/// Loads one image; the reason if the driver or we refuse it.
std::string tryImage(const Driver &driver, const qrt_image &image,
                     CUmodule &module) {
  // The driver's compiler says here what it could not do.
  std::string info(16384, '\0'), errors(16384, '\0');
  auto number = [](uintptr_t value) { return reinterpret_cast<void *>(value); };
  int options[] = {kJitInfoLog, kJitInfoLogBytes, kJitErrorLog,
                   kJitErrorLogBytes, kJitLogVerbose};
  void *values[] = {info.data(), number(info.size()), errors.data(),
                    number(errors.size()), number(1)};
  CUresult result = driver.moduleLoad(&module, image.data, 5, options, values);
  info.resize(info.find('\0') == info.npos ? info.size() : info.find('\0'));
  errors.resize(errors.find('\0') == errors.npos ? errors.size()
                                                 : errors.find('\0'));
  if (result != kSuccess) {
    std::string line = errors.substr(0, errors.find('\n'));
    return driver.describe(result) + (line.empty() ? "" : ": " + line);
  }
  std::string slow = serialisation(info);
  if (!slow.empty())
    driver.moduleUnload(module);
  return slow;
}

} // namespace

Expected<LoadedImage> qrt::cuda::loadImage(const Driver &driver,
                                           const qrt_variant &variant,
                                           uint32_t arch,
                                           const std::string &device,
                                           const std::string &where) {
  std::vector<std::string> all;
  for (uint32_t i = 0; i < variant.num_images; ++i)
    all.push_back(nameOf(variant.images[i]));
  if (all.empty())
    return makeError(6051, where,
                     "the module has no GPU code; compile it again with "
                     "--target cuda");
  std::vector<const qrt_image *> images = imagesFor(variant, arch);
  if (images.empty())
    return makeError(6051, where,
                     "the module has no code for {} of compute capability "
                     "{}.{} (it has {}); compile it with --gpu-arch sm_{}, or "
                     "choose --device cpu",
                     device, arch / 10, arch % 10, fmt::join(all, ", "), arch);
  std::vector<std::string> reasons;
  for (const qrt_image *image : images) {
    LoadedImage loaded;
    std::string reason = tryImage(driver, *image, loaded.module);
    if (reason.empty()) {
      loaded.image = image;
      loaded.portable =
          !image->arch_specific &&
          std::any_of(variant.images, variant.images + variant.num_images,
                      [](const qrt_image &i) { return i.arch_specific != 0; });
      return loaded;
    }
    reasons.push_back(nameOf(*image) + ": " + reason);
  }
  return makeError(6051, where, "{} takes no code of the module:\n  {}", device,
                   fmt::join(reasons, "\n  "));
}
