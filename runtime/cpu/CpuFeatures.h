//===- CpuFeatures.h - What this processor can run --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CPU_CPUFEATURES_H
#define QWEN_RUNTIME_CPU_CPUFEATURES_H

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

/// The names (LLVM's spelling: "avx512f", "amx-bf16") of all features that both
/// the processor and the operating system offer to this process. Read once from
/// CPUID and XCR0; for AMX the kernel's permission is asked for (it holds for
/// the whole process, threads started later included).
const std::set<std::string, std::less<>> &hostCpuFeatures();

/// Those of `required` that this machine lacks. A name that this runtime does
/// not know counts as lacking: nobody could vouch for it.
std::vector<std::string> missingCpuFeatures(
    const std::vector<std::string> &required,
    const std::set<std::string, std::less<>> &host = hostCpuFeatures());

/// Processors that this process may run on, at least 1.
int availableProcessors();

} // namespace qrt

#endif // QWEN_RUNTIME_CPU_CPUFEATURES_H
