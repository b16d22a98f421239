//===- DeviceGroup.cpp - The devices that run a module --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/mesh/DeviceGroup.h"
#include "runtime/comm/MpiLink.h"
#include "runtime/comm/ProcessTransport.h"
#include "runtime/comm/TcpLink.h"
#include "runtime/cpu/CpuFeatures.h"
#include "runtime/mesh/Block.h"
#include "runtime/mesh/Remote.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

using namespace qrt;

const std::vector<std::string> &qrt::commBackends() {
  static const std::vector<std::string> names = {"auto", "single", "threads",
                                                 "mpi",  "tcp",    "nccl"};
  return names;
}

/// The main thread of a device.
struct DeviceGroup::Lane {
  Lane() : thread([this] { work(); }) {}
  ~Lane() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      stop = true;
    }
    changed.notify_all();
    thread.join();
  }

  void post(std::function<void()> work) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      task = std::move(work);
    }
    changed.notify_all();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return !task; });
  }

private:
  void work() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return stop || task; });
      if (stop)
        return;
      lock.unlock();
      task();
      lock.lock();
      task = nullptr;
      changed.notify_all();
    }
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> task;
  bool stop = false;
  std::thread thread; // the last member: it uses the others
};

namespace {

std::function<void(int)> &abandonedJob() {
  static std::function<void(int)> action;
  return action;
}

} // namespace

void qrt::abortAbandonedJob(int status) {
  if (abandonedJob())
    abandonedJob()(status);
}

DeviceGroup::~DeviceGroup() {
  if (channel && isRoot() && RemoteRanks(*this).send({{"do", "end"}}))
    (void)channel->finish();
  // Threads first: they use devices, which use communicators.
  for (Member &member : members)
    member.lane.reset();
  for (Member &member : members) {
    member.nccl.reset(); // has memory of the device
    member.device.reset();
  }
}

Status DeviceGroup::addMember(Options &options, int index, int threads,
                              std::unique_ptr<Transport> transport, int here) {
  Member member;
  if (ranks.ranks() > 1) {
    // A thread for collectives pays where processors are left for it.
    Communicator::Options how;
    how.ownThread = availableProcessors() >= 2 * here;
    how.debug = options.debug;
    member.comm = std::make_unique<Communicator>(ranks, firstRank + index,
                                                 std::move(transport), how);
  }
  QRT_ASSIGN_OR_RETURN(member.device, options.createDevice(index, threads));
  if (member.comm && !member.device->worksAtOnce())
    return makeError(9005, "",
                     "the backend {} exchanges data through the host's memory, "
                     "which {} does not share",
                     backendName, member.device->name());
  if (member.comm && !member.device->sharesHostMemory())
    member.staged =
        std::make_unique<StagedCollectives>(*member.device, *member.comm);
  if (member.staged)
    member.device->join(ranks, firstRank + index, *member.staged);
  else if (member.comm)
    member.device->join(ranks, firstRank + index, *member.comm);
  if (index > 0)
    member.lane = std::make_unique<Lane>();
  members.push_back(std::move(member));
  return Status::success();
}

/// Ranks that share this machine's processors: all, where nobody says how many.
int DeviceGroup::ranksHere(const std::optional<RankInfo> &info) const {
  return info && info->localRanks > 0 ? info->localRanks : ranks.ranks();
}

Status DeviceGroup::startThreads(Options &options) {
  int devices = ranks.ranks();
  world = std::make_unique<ThreadWorld>(ranks, options.stepTimeout);
  int threads = threadsPerDevice(options.threads, devices);
  for (int i = 0; i < devices; ++i) {
    QRT_RETURN_IF_ERROR(
        addMember(options, i, threads, world->transport(i), devices));
  }
  return Status::success();
}

Expected<std::unique_ptr<ProcessTransport>>
DeviceGroup::connect(Options &options, const std::optional<RankInfo> &info,
                     const std::string &link) {
  std::unique_ptr<ProcessLink> processes;
  if (link == "tcp") {
    if (!info || info->rendezvous.empty())
      return makeError(9022, "",
                       "the backend tcp needs to know where rank 0 is: give "
                       "--rendezvous HOST:PORT, or start with torchrun");
    TcpLink::Options tcp;
    tcp.rank = info->rank;
    tcp.ranks = info->ranks;
    tcp.rendezvous = info->rendezvous;
    tcp.startTimeoutSeconds = options.startTimeout;
    QRT_ASSIGN_OR_RETURN(processes, TcpLink::connect(tcp));
  } else {
    MpiLink::Options mpi;
    mpi.startTimeoutSeconds = options.startTimeout;
    mpi.directory = options.pluginDirectory;
    mpi.oversubscribed = ranksHere(info) > availableProcessors();
    QRT_ASSIGN_OR_RETURN(processes, MpiLink::create(mpi));
  }
  if (processes->ranks() != ranks.ranks() ||
      (info && info->rank != processes->rank()))
    return makeError(9001, "",
                     "MPI says that this is rank {} of {}, which does not fit "
                     "rank {} of a mesh of {} ({})",
                     processes->rank(), processes->ranks(),
                     info ? info->rank : 0, ranks.ranks(), ranks.str());
  ProcessTransport::Options how;
  how.timeoutSeconds = options.stepTimeout;
  auto transport =
      std::make_unique<ProcessTransport>(std::move(processes), std::move(how));
  firstRank = transport->rank();
  channel = transport.get();
  return transport;
}

/// What connects the processes of a job: MPI where it has started them, else
/// TCP where an address is known.
static std::string linkOf(const RankInfo &info) {
  bool byMpi = info.source == "Open MPI" || info.rendezvous.empty();
  return byMpi ? "mpi" : "tcp";
}

Status DeviceGroup::startProcesses(Options &options,
                                   const std::optional<RankInfo> &info) {
  int here = ranksHere(info);
  int threads = threadsPerDevice(options.threads, here);
  if (backendName != "nccl") {
    QRT_ASSIGN_OR_RETURN(auto transport, connect(options, info, backendName));
    return addMember(options, 0, threads, std::move(transport), here);
  }
  if (!options.gpus)
    return makeError(9005, "",
                     "the backend nccl connects NVIDIA GPUs: choose --device "
                     "cuda, or another --comm");
  // First the others: they notice if something is wrong with this GPU.
  QRT_ASSIGN_OR_RETURN(processes, connect(options, info, linkOf(*info)));
  Member member;
  QRT_ASSIGN_OR_RETURN(member.device,
                       options.createDevice(info->localRank, threads));
  NcclCollectives::Options how;
  how.debug = options.debug;
  QRT_ASSIGN_OR_RETURN(
      member.nccl,
      NcclCollectives::create(ranks, static_cast<CudaDevice &>(*member.device),
                              *processes, std::move(how)));
  member.device->join(ranks, firstRank, *member.nccl);
  members.push_back(std::move(member));
  return Status::success();
}

Expected<std::unique_ptr<DeviceGroup>>
DeviceGroup::create(std::shared_ptr<const Module> module, Options options) {
  std::unique_ptr<DeviceGroup> group(new DeviceGroup);
  group->code = std::move(module);
  group->ranks = Mesh(group->code->manifest().meshAxes);
  int devices = group->ranks.ranks();
  if (devices > 1)
    group->logical = logicalManifest(group->code->manifest());
  const std::string &path = group->code->path();
  std::string comm = options.comm;
  std::optional<RankInfo> info;
  if (comm != "single" && comm != "threads") {
    QRT_ASSIGN_OR_RETURN(info, findRanks(options.flags));
  }
  if (comm == "auto")
    comm = devices == 1 && !(info && info->ranks > 1) ? "single"
           : options.gpus                             ? "nccl"
           : info && info->ranks > 1                  ? linkOf(*info)
                                                      : "threads";
  int started = info ? info->ranks : comm == "threads" ? devices : 1;
  if (started != devices)
    return makeError(9001, path,
                     "the module is compiled for a mesh of {} devices ({}), {} "
                     "{} started{}",
                     devices, group->ranks.str(), started,
                     started == 1 ? "rank is" : "ranks are",
                     info ? " (" + info->source + ")" : "");
  if (info && info->ranks > 1)
    group->source = fmt::format("{} ranks of {}", info->ranks, info->source);
  group->backendName = comm;
  bool byProcesses = comm != "single" && comm != "threads" && devices > 1;
  Status status = byProcesses ? group->startProcesses(options, info)
                              : group->startThreads(options);
  if (!status) {
    // The others wait for something else than the end of the job.
    group->channel = nullptr;
    return std::move(status.error());
  }
  return group;
}

Status DeviceGroup::forEach(const std::function<Status(int lane)> &task,
                            bool together) {
  std::vector<Status> results(members.size());
  auto run = [&](int lane) {
    Status status = task(lane);
    if (!status && together && world)
      world->abort(rankOf(lane), status.error().message);
    results[lane] = std::move(status);
  };
  for (int lane = 1; lane < lanes(); ++lane)
    members[lane].lane->post([&run, lane] { run(lane); });
  run(0);
  for (int lane = 1; lane < lanes(); ++lane)
    members[lane].lane->wait();
  // Those that were stopped only say who stopped them.
  constexpr int kStopped = 9013;
  int failed = -1;
  for (int lane = 0; lane < lanes(); ++lane)
    if (!results[lane] &&
        (failed < 0 || (results[failed].error().code == kStopped &&
                        results[lane].error().code != kStopped)))
      failed = lane;
  if (failed < 0)
    return Status::success();
  Error &error = results[failed].error();
  if (ranks.ranks() > 1 && together)
    error.message = fmt::format("rank {}: {}", rankOf(failed), error.message);
  return std::move(error);
}

void DeviceGroup::abandon() {
  if (!channel)
    return;
  // The transport is kept alive: aborting needs it.
  abandonedJob() =
      [comm = std::shared_ptr<Communicator>(std::move(members[0].comm)),
       processes = std::shared_ptr<ProcessTransport>(std::move(processes)),
       channel = channel](int status) { channel->abort(status); };
  channel = nullptr;
}
