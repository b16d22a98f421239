//===- CpuTarget.h - Instruction-set levels of the CPU ----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_CPUTARGET_H
#define QWEN_COMPILER_CODEGEN_CPU_CPUTARGET_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"

#include <optional>
#include <string>

namespace qwen::cpu {

/// What kernels are emitted for: a level and, of the features beyond it, those
/// that kernels make use of. Chosen by feature bits, never by model names.
struct CpuTarget {
  /// V3: AVX2 and FMA. V4: AVX-512 F, BW, CD, DQ, VL. AMX: V4 with AVX512-BF16
  /// and the AMX bf16 tiles.
  enum Level { V3, V4, AMX };

  Level level = V3;
  /// vcvtneps2bf16 and vdpbf16ps (always with AMX, on some machines with V4).
  bool avx512bf16 = false;
  /// Appended to every symbol, so that variants can share one module.
  std::string symbolSuffix;

  /// The target of `level` without anything beyond it.
  static CpuTarget get(Level level);
  /// Name in the manifest and in the module's table of variants.
  llvm::StringRef name() const;
  /// LLVM's name of the processor (a generic one).
  llvm::StringRef cpu() const;
  /// Features beyond `cpu()`, as "+name".
  llvm::SmallVector<llvm::StringRef> features() const;
  /// All features the loader has to find, LLVM's names without "+".
  llvm::SmallVector<llvm::StringRef> requiredFeatures() const;
  /// Bits of a vector register that LLVM should use: "256" or "512".
  llvm::StringRef vectorWidth() const;
  /// f32 lanes of one vector register: 8 or 16.
  int64_t lanes() const { return level == V3 ? 8 : 16; }
  /// Vector registers: 16 or 32.
  int64_t registers() const { return level == V3 ? 16 : 32; }
  bool hasAmx() const { return level == AMX; }
};

/// The best level that has all it needs in `features` (LLVM's names, as of
/// llvm::sys::getHostCPUFeatures), or nothing below V3.
std::optional<CpuTarget>
targetFromFeatures(const llvm::StringMap<bool> &features);
/// The target of this machine, or nothing below V3.
std::optional<CpuTarget> nativeTarget();
/// The targets of one value of `--cpu`, best first; empty for an unknown name
/// and for `native` on a machine below V3.
llvm::SmallVector<CpuTarget> targetsFromOption(llvm::StringRef name);
/// The values of `--cpu`.
llvm::ArrayRef<llvm::StringRef> cpuOptions();

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_CPUTARGET_H
