//===- SessionGroup.h - A session on all devices of a mesh ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Takes and gives logical tensors: who uses it does not know how many devices
// there are, and in which processes. On one device it adds no copy.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_MESH_SESSIONGROUP_H
#define QWEN_RUNTIME_MESH_SESSIONGROUP_H

#include "runtime/mesh/DeviceGroup.h"
#include "runtime/mesh/RankSession.h"

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

class SessionGroup;

/// One entry point with logical inputs and outputs bound: EntryCall for a mesh.
class GroupCall {
public:
  /// With logical shapes and extents.
  const EntryInfo &info() const { return *entry; }

  /// As EntryCall. The caller keeps the memory alive.
  void bindInput(std::string_view name, const void *data);
  void bindOutput(std::string_view name, void *data);
  void setExtent(std::string_view name, int64_t value);

  /// Calls the entry on all devices and waits for the outputs. Errors: Q6030,
  /// Q6031, those of the devices and of collectives, with the rank.
  Status run();
  /// As EntryCall::start on one device; elsewhere as run().
  Status start();

private:
  friend class SessionGroup;
  GroupCall() = default;
  Status check() const;
  Status callAll(const CallRequest &request);
  Status collectOutput(int arg);

  SessionGroup *session = nullptr;
  const EntryInfo *entry = nullptr;
  int index = -1;
  std::vector<const void *> inputs; ///< by argument
  std::vector<void *> outputs;
  std::vector<int64_t> extents;
};

class SessionGroup {
public:
  /// As Session::create, on every device. The group must outlive it.
  static Expected<std::unique_ptr<SessionGroup>>
  create(DeviceGroup &group, const std::vector<std::string> &entries);
  ~SessionGroup();

  const Module &module() const { return *devices.module(); }
  /// With logical shapes and extents.
  const Manifest &manifest() const { return devices.manifest(); }
  DeviceGroup &group() { return devices; }
  /// The first device of this process, and its session: for what each has.
  Device &device() { return devices.device(0); }
  Session &first() { return ranks[0]->session(); }

  Expected<GroupCall> prepare(std::string_view entry);

  /// Whether the session holds this state of a parameter.
  bool hasState(const StateKind &kind, int parameter) const;
  /// One layer of the logical matrix of an f32 state, row-major: gathered from
  /// the devices, and added up where they hold parts of a sum. Valid until the
  /// third call after this one.
  Expected<const float *> readState(const StateKind &kind, int parameter,
                                    int64_t layer);
  /// Fills states from a source; every rank reads its own blocks.
  Status load(const WeightSource &source, const std::vector<StateSet> &sets);
  /// Fills all parameters that the session holds: the masters, from which the
  /// other storages are made; without masters, the storages themselves.
  Status loadWeights(const WeightSource &source);

  Status clearGradients();
  Status clearCaches();
  Status synchronize() { return first().synchronize(); }

private:
  friend class GroupCall;
  explicit SessionGroup(DeviceGroup &group) : devices(group) {}
  /// Does the same on the devices of all processes.
  Status everywhere(nlohmann::json command,
                    const std::function<Status(RankSession &)> &task);
  Status gatherState(const StateKind &kind, int parameter, int64_t layer,
                     std::vector<float> &to);

  DeviceGroup &devices;
  int id = 0; ///< of this session, among those of the other processes
  std::vector<std::unique_ptr<RankSession>> ranks; ///< by lane
  struct Copy {
    StateKind kind;
    int parameter;
    int64_t layer;
    std::vector<float> values;
  };
  std::deque<Copy> copies;
};

} // namespace qrt

#endif // QWEN_RUNTIME_MESH_SESSIONGROUP_H
