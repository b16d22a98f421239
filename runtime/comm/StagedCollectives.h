//===- StagedCollectives.h - Collectives by way of the host -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_STAGEDCOLLECTIVES_H
#define QWEN_RUNTIME_COMM_STAGEDCOLLECTIVES_H

#include "runtime/comm/Communicator.h"
#include "runtime/core/Device.h"

#include <deque>
#include <vector>

namespace qrt {

/// For devices whose memory is not the host's, by backends that know only that:
/// inputs are copied to the host, outputs back when they are waited for.
class StagedCollectives : public Collectives {
public:
  /// The device does its work as it is called (Device::worksAtOnce).
  StagedCollectives(Device &device, Communicator &onHost)
      : device(device), onHost(onHost) {}

  Status start(const qrt_collective &collective, const void *in,
               void *out) override;
  Status wait() override;

private:
  struct Pending {
    std::vector<char> in, out;
    void *target;
  };
  Device &device;
  Communicator &onHost;
  std::deque<Pending> queue;
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_STAGEDCOLLECTIVES_H
