//===- FakeDriver.h - What tests tell the double of libcuda.so.1 *- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_CUDA_FAKEDRIVER_H
#define QWEN_TEST_UNIT_CUDA_FAKEDRIVER_H

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

/// One launch. Parameters that are addresses of the device have become the
/// host's.
struct FakeLaunch {
  std::string kernel;
  unsigned grid[3], block[3];
  std::vector<uint64_t> params;
};
using FakeKernel = std::function<void(const FakeLaunch &)>;

extern "C" {
void fakeCudaRegister(const char *kernel, FakeKernel function);
/// What was wrong with calls since the last time; empty: nothing.
std::string fakeCudaViolations();
int fakeCudaCalls(const char *symbol);
/// For doubles of other libraries: queues work on a stream (0, or an error),
/// the number of the current device or -1, and the host's address of
/// [address, address + bytes) of the device or null.
int fakeCudaPush(void *stream, std::function<int()> work);
int fakeCudaDevice();
char *fakeCudaHost(uint64_t address, uint64_t bytes);
/// As well: the value of a key of FAKE_CUDA, or `otherwise`; a call of
/// `symbol`, counted, and the code of the failure that a test asked for or of
/// the missing context; what is wrong, noted.
std::string fakeCudaOption(const char *key, const char *otherwise);
int fakeCudaBegin(const char *symbol);
void fakeCudaViolation(const std::string &text);
/// Work that runs now takes so long, to events.
void fakeCudaSpend(double milliseconds);
void fakeCudaReset();
}

#endif // QWEN_TEST_UNIT_CUDA_FAKEDRIVER_H
