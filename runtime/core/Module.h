//===- Module.h - A loaded module -------------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_MODULE_H
#define QWEN_RUNTIME_CORE_MODULE_H

#include "runtime/abi/qwen_module.h"
#include "runtime/core/Manifest.h"

#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace qrt {

/// A module whose code is loaded. A module is code and must be trusted; what is
/// checked first is that the manifest is sound, that the file is whole, that
/// its ABI version is ours and that this processor runs one of its variants.
/// Immutable, so any number of devices may share it.
class Module {
public:
  /// Loads the module for one target and picks the best variant this machine
  /// can run. Errors: Q6010..Q6013 (manifest), Q6012 (version), Q6014 (cannot
  /// load), Q6015 (no code for the target, or no variant runs here; names the
  /// missing features), Q6016 (manifest and code disagree).
  static Expected<std::shared_ptr<const Module>>
  open(const std::string &path, std::string_view target = "cpu");
  ~Module();

  const Manifest &manifest() const { return info; }
  const std::string &path() const { return file; }
  /// The target that the module was opened for.
  const TargetInfo &target() const { return *targetInfo; }
  /// The instruction-set level that runs; empty for targets without levels.
  const std::string &level() const { return variantLevel; }
  /// "cpu-amx", "cuda": target and level.
  std::string variantName() const;
  /// The code of entry `index` (of Manifest::entries).
  qrt_entry entry(int index) const { return code->entries[index]; }
  /// Kernels and images of targets that launch.
  const qrt_variant &variant() const { return *code; }
  /// Where kernel `index` of the variant comes from, as `file.yaml:line:col`;
  /// empty if the manifest does not say.
  std::string kernelLocation(uint32_t index) const;
  /// The size of the arena of entry `index` on this target.
  int64_t arenaBytes(int index) const;

  Module(const Module &) = delete;
  Module &operator=(const Module &) = delete;

private:
  Module() = default;

  std::string file;
  Manifest info;
  void *handle = nullptr;
  const TargetInfo *targetInfo = nullptr;
  const qrt_variant *code = nullptr;
  std::string variantLevel;
};

/// The index of the first (best) variant that runs with the features of `host`,
/// or an error that names what the least demanding variant misses.
Expected<size_t> chooseVariant(const TargetInfo &target,
                               const std::set<std::string, std::less<>> &host,
                               const std::string &where);

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_MODULE_H
