//===- CpuFeatures.cpp - What this processor can run ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cpu/CpuFeatures.h"

#include <algorithm>
#include <cpuid.h>
#include <cstdint>
#include <sched.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

using namespace qrt;

namespace {

enum Register : uint8_t { EAX, EBX, ECX, EDX };

/// State that the operating system must save for a feature (bits of XCR0).
enum : uint64_t {
  kNoState = 0,
  kAvxState = 0x6,
  kAvx512State = 0xe6,
  kAmxState = 0x60000,
  kApxState = 0x80000
};

struct Feature {
  const char *name;
  uint32_t leaf, subleaf;
  Register reg;
  uint8_t bit;
  uint64_t state;
};

/// LLVM's x86 feature names and where CPUID tells them.
constexpr Feature kFeatures[] = {
    {"fxsr", 1, 0, EDX, 24, kNoState},
    {"cmov", 1, 0, EDX, 15, kNoState},
    {"mmx", 1, 0, EDX, 23, kNoState},
    {"cx8", 1, 0, EDX, 8, kNoState},
    {"sse", 1, 0, EDX, 25, kNoState},
    {"sse2", 1, 0, EDX, 26, kNoState},
    {"sse3", 1, 0, ECX, 0, kNoState},
    {"pclmul", 1, 0, ECX, 1, kNoState},
    {"ssse3", 1, 0, ECX, 9, kNoState},
    {"fma", 1, 0, ECX, 12, kAvxState},
    {"cx16", 1, 0, ECX, 13, kNoState},
    {"sse4.1", 1, 0, ECX, 19, kNoState},
    {"sse4.2", 1, 0, ECX, 20, kNoState},
    {"crc32", 1, 0, ECX, 20, kNoState},
    {"movbe", 1, 0, ECX, 22, kNoState},
    {"popcnt", 1, 0, ECX, 23, kNoState},
    {"aes", 1, 0, ECX, 25, kNoState},
    {"xsave", 1, 0, ECX, 27, kNoState},
    {"avx", 1, 0, ECX, 28, kAvxState},
    {"f16c", 1, 0, ECX, 29, kAvxState},
    {"rdrnd", 1, 0, ECX, 30, kNoState},
    {"fsgsbase", 7, 0, EBX, 0, kNoState},
    {"sgx", 7, 0, EBX, 2, kNoState},
    {"bmi", 7, 0, EBX, 3, kNoState},
    {"avx2", 7, 0, EBX, 5, kAvxState},
    {"bmi2", 7, 0, EBX, 8, kNoState},
    {"invpcid", 7, 0, EBX, 10, kNoState},
    {"rtm", 7, 0, EBX, 11, kNoState},
    {"avx512f", 7, 0, EBX, 16, kAvx512State},
    {"avx512dq", 7, 0, EBX, 17, kAvx512State},
    {"rdseed", 7, 0, EBX, 18, kNoState},
    {"adx", 7, 0, EBX, 19, kNoState},
    {"avx512ifma", 7, 0, EBX, 21, kAvx512State},
    {"clflushopt", 7, 0, EBX, 23, kNoState},
    {"clwb", 7, 0, EBX, 24, kNoState},
    {"avx512cd", 7, 0, EBX, 28, kAvx512State},
    {"sha", 7, 0, EBX, 29, kNoState},
    {"avx512bw", 7, 0, EBX, 30, kAvx512State},
    {"avx512vl", 7, 0, EBX, 31, kAvx512State},
    {"avx512vbmi", 7, 0, ECX, 1, kAvx512State},
    {"pku", 7, 0, ECX, 4, kNoState},
    {"waitpkg", 7, 0, ECX, 5, kNoState},
    {"avx512vbmi2", 7, 0, ECX, 6, kAvx512State},
    {"shstk", 7, 0, ECX, 7, kNoState},
    {"gfni", 7, 0, ECX, 8, kNoState},
    {"vaes", 7, 0, ECX, 9, kAvxState},
    {"vpclmulqdq", 7, 0, ECX, 10, kAvxState},
    {"avx512vnni", 7, 0, ECX, 11, kAvx512State},
    {"avx512bitalg", 7, 0, ECX, 12, kAvx512State},
    {"avx512vpopcntdq", 7, 0, ECX, 14, kAvx512State},
    {"rdpid", 7, 0, ECX, 22, kNoState},
    {"kl", 7, 0, ECX, 23, kNoState},
    {"cldemote", 7, 0, ECX, 25, kNoState},
    {"movdiri", 7, 0, ECX, 27, kNoState},
    {"movdir64b", 7, 0, ECX, 28, kNoState},
    {"enqcmd", 7, 0, ECX, 29, kNoState},
    {"uintr", 7, 0, EDX, 5, kNoState},
    {"avx512vp2intersect", 7, 0, EDX, 8, kAvx512State},
    {"serialize", 7, 0, EDX, 14, kNoState},
    {"tsxldtrk", 7, 0, EDX, 16, kNoState},
    {"pconfig", 7, 0, EDX, 18, kNoState},
    {"amx-bf16", 7, 0, EDX, 22, kAmxState},
    {"avx512fp16", 7, 0, EDX, 23, kAvx512State},
    {"amx-tile", 7, 0, EDX, 24, kAmxState},
    {"amx-int8", 7, 0, EDX, 25, kAmxState},
    {"sha512", 7, 1, EAX, 0, kNoState},
    {"sm3", 7, 1, EAX, 1, kNoState},
    {"sm4", 7, 1, EAX, 2, kNoState},
    {"raoint", 7, 1, EAX, 3, kNoState},
    {"avxvnni", 7, 1, EAX, 4, kAvxState},
    {"avx512bf16", 7, 1, EAX, 5, kAvx512State},
    {"cmpccxadd", 7, 1, EAX, 7, kNoState},
    {"amx-fp16", 7, 1, EAX, 21, kAmxState},
    {"hreset", 7, 1, EAX, 22, kNoState},
    {"avxifma", 7, 1, EAX, 23, kAvxState},
    {"movrs", 7, 1, EAX, 31, kNoState},
    {"avxvnniint8", 7, 1, EDX, 4, kAvxState},
    {"avxneconvert", 7, 1, EDX, 5, kAvxState},
    {"amx-complex", 7, 1, EDX, 8, kAmxState},
    {"avxvnniint16", 7, 1, EDX, 10, kAvxState},
    {"prefetchi", 7, 1, EDX, 14, kNoState},
    {"usermsr", 7, 1, EDX, 15, kNoState},
    {"egpr", 7, 1, EDX, 21, kApxState},
    {"xsaveopt", 0xd, 1, EAX, 0, kNoState},
    {"xsavec", 0xd, 1, EAX, 1, kNoState},
    {"xsaves", 0xd, 1, EAX, 3, kNoState},
    {"ptwrite", 0x14, 0, EBX, 4, kNoState},
    {"widekl", 0x19, 0, EBX, 2, kNoState},
    {"amx-avx512", 0x1e, 1, EAX, 7, kAmxState},
    {"amx-fp8", 0x1e, 1, EAX, 4, kAmxState},
    {"amx-tf32", 0x1e, 1, EAX, 6, kAmxState},
    {"amx-movrs", 0x1e, 1, EAX, 8, kAmxState},
    {"sahf", 0x80000001, 0, ECX, 0, kNoState},
    {"lzcnt", 0x80000001, 0, ECX, 5, kNoState},
    {"sse4a", 0x80000001, 0, ECX, 6, kNoState},
    {"prfchw", 0x80000001, 0, ECX, 8, kNoState},
    {"xop", 0x80000001, 0, ECX, 11, kAvxState},
    {"lwp", 0x80000001, 0, ECX, 15, kNoState},
    {"fma4", 0x80000001, 0, ECX, 16, kAvxState},
    {"tbm", 0x80000001, 0, ECX, 21, kNoState},
    {"mwaitx", 0x80000001, 0, ECX, 29, kNoState},
    {"64bit", 0x80000001, 0, EDX, 29, kNoState},
    {"clzero", 0x80000008, 0, EBX, 0, kNoState},
    {"rdpru", 0x80000008, 0, EBX, 4, kNoState},
    {"wbnoinvd", 0x80000008, 0, EBX, 9, kNoState},
};

/// XCR0, or 0 where the operating system does not use XSAVE.
uint64_t enabledState() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27)))
    return 0;
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

/// Linux gives the tile registers only to a process that asks for them.
bool requestAmx() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

std::set<std::string, std::less<>> detect() {
  std::set<std::string, std::less<>> result;
  uint64_t state = enabledState();
  bool amxAllowed = (state & kAmxState) == kAmxState && requestAmx();
  for (const Feature &feature : kFeatures) {
    uint32_t r[4] = {0, 0, 0, 0};
    if (!__get_cpuid_count(feature.leaf, feature.subleaf, &r[EAX], &r[EBX],
                           &r[ECX], &r[EDX]))
      continue;
    if (!(r[feature.reg] >> feature.bit & 1))
      continue;
    if ((state & feature.state) != feature.state)
      continue;
    if (feature.state == kAmxState && !amxAllowed)
      continue;
    result.insert(feature.name);
  }
  // LLVM's names that follow from others.
  result.insert("x87");
  if (result.count("avx512f"))
    result.insert("evex512");
  return result;
}

} // namespace

const std::set<std::string, std::less<>> &qrt::hostCpuFeatures() {
  static const std::set<std::string, std::less<>> features = detect();
  return features;
}

std::vector<std::string>
qrt::missingCpuFeatures(const std::vector<std::string> &required,
                        const std::set<std::string, std::less<>> &host) {
  std::vector<std::string> missing;
  for (const std::string &name : required)
    if (!host.count(name))
      missing.push_back(name);
  return missing;
}

int qrt::availableProcessors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}
