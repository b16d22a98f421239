//===- DeviceGroup.h - The devices that run a module ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One device for each rank of the module's mesh: all of them in this process
// (backends single and threads), or one in each process of a job (mpi, tcp).
// Then rank 0 directs the others: it alone reads the command line's files,
// writes output, and tells them what to load and to call.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_MESH_DEVICEGROUP_H
#define QWEN_RUNTIME_MESH_DEVICEGROUP_H

#include "runtime/comm/Communicator.h"
#include "runtime/comm/Control.h"
#include "runtime/comm/NcclCollectives.h"
#include "runtime/comm/Ranks.h"
#include "runtime/comm/StagedCollectives.h"
#include "runtime/comm/ThreadTransport.h"
#include "runtime/core/Device.h"
#include "runtime/core/Module.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qrt {

/// The backends by name, for the command line: "auto" first.
const std::vector<std::string> &commBackends();

class DeviceGroup {
public:
  struct Options {
    std::string comm = "auto"; ///< of commBackends()
    RankFlags flags;
    int threads = 0;   ///< of all devices of this machine; 0: all processors
    bool gpus = false; ///< the devices are NVIDIA GPUs: they talk by NCCL
    /// Makes a device; `index` counts those of this machine.
    std::function<Expected<std::unique_ptr<Device>>(int index, int threads)>
        createDevice;
    double startTimeout = 300;   ///< seconds until all processes are there
    double stepTimeout = 1800;   ///< seconds that one collective may take
    bool debug = false;          ///< compare all collectives over all ranks
    std::string pluginDirectory; ///< of libqwen-comm-mpi.so
  };

  /// Finds the ranks, chooses the backend and makes this process's devices.
  /// Errors, before anything is started: Q9001 (the ranks are not as many as
  /// the mesh has), those of findRanks, Q9005 (the backend cannot do it).
  static Expected<std::unique_ptr<DeviceGroup>>
  create(std::shared_ptr<const Module> module, Options options);
  ~DeviceGroup();

  const std::shared_ptr<const Module> &module() const { return code; }
  /// The module's manifest with logical shapes and extents (Block.h).
  const Manifest &manifest() const {
    return logical ? *logical : code->manifest();
  }
  const Mesh &mesh() const { return ranks; }
  /// The backend that runs.
  const std::string &backend() const { return backendName; }
  /// "8 ranks of Open MPI"; empty when nobody has started several.
  const std::string &origin() const { return source; }

  /// Devices of this process; the first one is this process's rank.
  int lanes() const { return static_cast<int>(members.size()); }
  Device &device(int lane) { return *members[lane].device; }
  /// Null with NCCL.
  Communicator *communicator(int lane) { return members[lane].comm.get(); }
  NcclCollectives *gpuCollectives() { return members[0].nccl.get(); }
  int rankOf(int lane) const { return firstRank + lane; }
  bool isRoot() const { return firstRank == 0; }
  /// Null when all devices are in this process.
  ControlChannel *control() { return channel; }

  /// Runs `task` for every lane, each on its device's main thread, at the same
  /// time. The error of the lane that failed first by itself, with its rank;
  /// if `together`, a failing lane stops the collectives of all others.
  Status forEach(const std::function<Status(int lane)> &task, bool together);

  /// The number of the next session of all processes.
  int newSession() { return sessions++; }

  /// Notes that the ranks are no longer at the same place, so that they cannot
  /// be told to end.
  void abandon();

private:
  struct Lane;
  struct Member {
    std::unique_ptr<Device> device;
    std::unique_ptr<Communicator> comm;        ///< null with NCCL
    std::unique_ptr<NcclCollectives> nccl;     ///< null else
    std::unique_ptr<StagedCollectives> staged; ///< where memory is apart
    std::unique_ptr<Lane> lane; ///< its main thread; none for the first
  };
  DeviceGroup() = default;
  int ranksHere(const std::optional<RankInfo> &info) const;
  Status startThreads(Options &options);
  /// Connects the processes of the job by `link`, mpi or tcp.
  Expected<std::unique_ptr<ProcessTransport>>
  connect(Options &options, const std::optional<RankInfo> &info,
          const std::string &link);
  Status startProcesses(Options &options, const std::optional<RankInfo> &info);
  /// `here`: devices of this machine.
  Status addMember(Options &options, int index, int threads,
                   std::unique_ptr<Transport> transport, int here);

  std::shared_ptr<const Module> code;
  Mesh ranks;
  std::string backendName, source;
  std::optional<Manifest> logical; ///< none: on one device it is the module's
  int firstRank = 0, sessions = 0;
  std::unique_ptr<ThreadWorld> world;
  /// With NCCL, which only moves what lies on GPUs.
  std::unique_ptr<ProcessTransport> processes;
  /// That, or the transport of the only member.
  ControlChannel *channel = nullptr;
  std::vector<Member> members;
};

/// Ends the other processes of a job whose ranks are no longer at the same
/// place; does nothing else. For the way out after an error was shown.
void abortAbandonedJob(int status);

} // namespace qrt

#endif // QWEN_RUNTIME_MESH_DEVICEGROUP_H
