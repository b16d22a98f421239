//===- Helpers.h - Devices for tests ----------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_MESH_HELPERS_H
#define QWEN_TEST_UNIT_MESH_HELPERS_H

#include "runtime/mesh/SessionGroup.h"

#include <gtest/gtest.h>

namespace qrt::test {

inline Expected<std::unique_ptr<Device>> makeCpu(int, int threads) {
  QRT_ASSIGN_OR_RETURN(std::unique_ptr<Device> device,
                       CpuDevice::create(threads));
  return device;
}

/// CPU devices for a module's mesh, as threads, with `threads` each.
inline std::unique_ptr<DeviceGroup>
makeDevices(std::shared_ptr<const Module> module, int threads) {
  DeviceGroup::Options options;
  options.comm = module->manifest().meshAxes.empty() ? "single" : "threads";
  options.threads = threads * Mesh(module->manifest().meshAxes).ranks();
  options.stepTimeout = 60;
  options.createDevice = makeCpu;
  auto group = DeviceGroup::create(std::move(module), std::move(options));
  EXPECT_TRUE(group) << group.error().str();
  return group ? std::move(*group) : nullptr;
}

} // namespace qrt::test

#endif // QWEN_TEST_UNIT_MESH_HELPERS_H
