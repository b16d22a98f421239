//===- Module.cpp - A loaded module ---------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Module.h"
#include "runtime/cpu/CpuFeatures.h"

#include <climits>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fmt/ranges.h>

using namespace qrt;

Module::~Module() {
  if (handle)
    dlclose(handle);
}

Expected<size_t>
qrt::chooseVariant(const TargetInfo &target,
                   const std::set<std::string, std::less<>> &host,
                   const std::string &where) {
  std::vector<std::string> fewest;
  std::string fewestLevel;
  for (size_t i = 0; i < target.variants.size(); ++i) {
    std::vector<std::string> missing =
        missingCpuFeatures(target.variants[i].features, host);
    if (missing.empty())
      return i;
    // Best first, so of equal lists the later one is the less demanding.
    if (fewest.empty() || missing.size() <= fewest.size()) {
      fewest = std::move(missing);
      fewestLevel = target.variants[i].level;
    }
  }
  if (target.variants.empty())
    return makeError(6015, where, "the module has no code for target {}",
                     target.target);
  return makeError(6015, where,
                   "this processor cannot run the module: its variant {} needs "
                   "{}, which this machine lacks; compile with --cpu portable "
                   "or a lower level",
                   fewestLevel, fmt::join(fewest, ", "));
}

std::string Module::variantName() const {
  return variantLevel.empty() ? targetInfo->target
                              : targetInfo->target + "-" + variantLevel;
}

int64_t Module::arenaBytes(int index) const {
  const EntryInfo &entry = info.entries[index];
  auto it = targetInfo->arenaBytes.find(entry.name);
  return it == targetInfo->arenaBytes.end() ? entry.arenaBytes : it->second;
}

std::string Module::kernelLocation(uint32_t index) const {
  const auto &locations = targetInfo->kernelLocations;
  auto it = locations.find(std::string_view(code->kernels[index].name));
  return it == locations.end() ? std::string() : it->second;
}

Expected<std::shared_ptr<const Module>>
Module::open(const std::string &path, std::string_view targetName) {
  std::shared_ptr<Module> module(new Module);
  module->file = path;
  QRT_ASSIGN_OR_RETURN(module->info, readManifest(path));
  const Manifest &manifest = module->info;
  const TargetInfo *target = manifest.findTarget(targetName);
  if (!target) {
    std::vector<std::string> names;
    for (const TargetInfo &other : manifest.targets)
      names.push_back(other.target);
    return makeError(
        6015, path,
        "the module has no code for target {} (it has {}); compile "
        "it with --target {}, or choose another --device",
        targetName, fmt::join(names, ", "), targetName);
  }
  module->targetInfo = target;
  QRT_ASSIGN_OR_RETURN(size_t choice,
                       chooseVariant(*target, hostCpuFeatures(), path));
  module->variantLevel = target->variants[choice].level;

  // dlopen searches other folders for a name without a slash.
  char *absolute = realpath(path.c_str(), nullptr);
  if (!absolute)
    return makeError(6013, path, "cannot open the module: {}",
                     std::strerror(errno));
  module->handle = dlopen(absolute, RTLD_NOW | RTLD_LOCAL);
  std::free(absolute);
  if (!module->handle) {
    const char *reason = dlerror();
    return makeError(6014, path, "cannot load the module: {}",
                     reason ? reason : "unknown reason");
  }
  auto query =
      reinterpret_cast<qrt_query>(dlsym(module->handle, QRT_QUERY_SYMBOL));
  if (!query)
    return makeError(6014, path, "cannot load the module: no symbol {}",
                     QRT_QUERY_SYMBOL);
  const qrt_module *code = query(QRT_ABI_VERSION);
  if (!code || code->abi_version != QRT_ABI_VERSION)
    return makeError(6012, path,
                     "the module has ABI version {}, this qwen-rt needs {}; "
                     "compile the model again with the qwenc of this release",
                     code ? std::to_string(code->abi_version) : "a newer one",
                     QRT_ABI_VERSION);
  if (code->num_entries != manifest.entries.size())
    return makeError(6016, path,
                     "damaged module: {} entry points in the code, {} in the "
                     "manifest",
                     code->num_entries, manifest.entries.size());
  for (uint32_t i = 0; i < code->num_variants; ++i) {
    const qrt_variant &variant = code->variants[i];
    if (targetName == variant.target && module->variantLevel == variant.level)
      module->code = &variant;
  }
  if (!module->code)
    return makeError(6016, path,
                     "damaged module: no code for variant {} of the manifest",
                     module->variantName());
  return std::shared_ptr<const Module>(std::move(module));
}
