//===- Remote.h - Sessions of other processes -------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rank 0 sends every command to all ranks; each runs it on its own device, and
// then all tell how it went.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_MESH_REMOTE_H
#define QWEN_RUNTIME_MESH_REMOTE_H

#include "runtime/mesh/DeviceGroup.h"
#include "runtime/mesh/RankSession.h"

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace qrt {

/// Rank 0's side.
class RemoteRanks {
public:
  explicit RemoteRanks(DeviceGroup &group) : group(group) {}

  /// Sends a command with the bytes that belong to it.
  Status send(const nlohmann::json &command, const std::string &payload = {});
  /// How the command went on all ranks, this one included.
  Status collect(Status mine);
  /// Blocks of equal size of all ranks.
  Status gather(const void *mine, int64_t bytes, std::vector<char> &all);

private:
  DeviceGroup &group;
};

/// The other ranks' side: does what rank 0 says until it says that all is done.
/// The exit status. An error during a call ends the job: the other ranks wait
/// for this one in collectives.
int serveCommands(DeviceGroup &group);

/// The state kind in a command.
nlohmann::json toJson(const StateKind &kind);

} // namespace qrt

#endif // QWEN_RUNTIME_MESH_REMOTE_H
