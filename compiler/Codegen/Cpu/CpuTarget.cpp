//===- CpuTarget.cpp - Instruction-set levels of the CPU ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/CpuTarget.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/TargetParser/Host.h"

using namespace llvm;
using namespace qwen;
using namespace qwen::cpu;

static constexpr StringLiteral v3Features[] = {
    "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "popcnt"};
static constexpr StringLiteral v4Features[] = {
    "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"};
static constexpr StringLiteral amxFeatures[] = {"avx512bf16", "amx-tile",
                                                "amx-bf16"};

CpuTarget CpuTarget::get(Level level) {
  CpuTarget target;
  target.level = level;
  target.avx512bf16 = level == AMX;
  return target;
}

std::optional<CpuTarget>
cpu::targetFromFeatures(const StringMap<bool> &features) {
  auto has = [&](StringRef name) { return features.lookup(name); };
  if (!all_of(v3Features, has))
    return std::nullopt;
  if (!all_of(v4Features, has))
    return CpuTarget::get(CpuTarget::V3);
  if (all_of(amxFeatures, has))
    return CpuTarget::get(CpuTarget::AMX);
  CpuTarget target = CpuTarget::get(CpuTarget::V4);
  target.avx512bf16 = has("avx512bf16");
  return target;
}

std::optional<CpuTarget> cpu::nativeTarget() {
  return targetFromFeatures(sys::getHostCPUFeatures());
}

ArrayRef<StringRef> cpu::cpuOptions() {
  static const StringRef names[] = {"native", "amx", "x86-64-v4", "x86-64-v3",
                                    "portable"};
  return names;
}

SmallVector<CpuTarget> cpu::targetsFromOption(StringRef name) {
  if (name == "native") {
    std::optional<CpuTarget> host = nativeTarget();
    return host ? SmallVector<CpuTarget>{*host} : SmallVector<CpuTarget>{};
  }
  SmallVector<CpuTarget> targets;
  for (CpuTarget::Level level : {CpuTarget::AMX, CpuTarget::V4, CpuTarget::V3})
    if (CpuTarget target = CpuTarget::get(level);
        name == "portable" || name == target.name())
      targets.push_back(target);
  return targets;
}

StringRef CpuTarget::name() const {
  switch (level) {
  case V3:
    return "x86-64-v3";
  case V4:
    return "x86-64-v4";
  case AMX:
    return "amx";
  }
  llvm_unreachable("unknown level");
}

StringRef CpuTarget::cpu() const {
  return level == V3 ? "x86-64-v3" : "x86-64-v4";
}

SmallVector<StringRef> CpuTarget::features() const {
  // Never empty: a function without a feature string inherits that of the
  // machine the compiler runs on.
  SmallVector<StringRef> list{"+avx2", "+fma"};
  if (level == AMX)
    list.append({"+amx-tile", "+amx-bf16"});
  if (avx512bf16)
    list.push_back("+avx512bf16");
  return list;
}

SmallVector<StringRef> CpuTarget::requiredFeatures() const {
  SmallVector<StringRef> list(std::begin(v3Features), std::end(v3Features));
  if (level >= V4)
    list.append(std::begin(v4Features), std::end(v4Features));
  if (avx512bf16)
    list.push_back("avx512bf16");
  if (level == AMX)
    list.append({"amx-tile", "amx-bf16"});
  return list;
}

StringRef CpuTarget::vectorWidth() const { return level == V3 ? "256" : "512"; }
