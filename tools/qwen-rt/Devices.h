//===- Devices.h - The kinds of devices that qwen-rt knows ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TOOLS_QWEN_RT_DEVICES_H
#define QWEN_TOOLS_QWEN_RT_DEVICES_H

#include "runtime/core/Device.h"

#include <memory>
#include <string>
#include <vector>

namespace qrt {

/// A kind of device. Its name is also that of the target whose code it runs.
struct DeviceKind {
  std::string name;
  Expected<std::unique_ptr<Device>> (*create)(const DeviceSpec &spec,
                                              int threads);
};

/// Null: there is no such kind.
const DeviceKind *findDeviceKind(const std::string &name);

std::vector<std::string> deviceKindNames();

} // namespace qrt

#endif // QWEN_TOOLS_QWEN_RT_DEVICES_H
