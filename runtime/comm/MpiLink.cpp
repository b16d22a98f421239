//===- MpiLink.cpp - Processes that MPI has started ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/MpiLink.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <mutex>
#include <thread>

using namespace qrt;

namespace {

constexpr const char *kPlugin = "libqwen-comm-mpi.so";

/// Ends the process if it still exists after some seconds.
class StartWatch {
public:
  explicit StartWatch(double seconds) {
    if (seconds > 0)
      thread = std::thread([this, seconds] { watch(seconds); });
  }
  ~StartWatch() {
    if (!thread.joinable())
      return;
    {
      std::lock_guard<std::mutex> lock(mutex);
      isOver = true;
    }
    changed.notify_all();
    thread.join();
  }

private:
  void watch(double seconds) {
    std::unique_lock<std::mutex> lock(mutex);
    if (changed.wait_for(lock, std::chrono::duration<double>(seconds),
                         [this] { return isOver; }))
      return;
    Error error = makeError(9014, "",
                            "MPI has not started within {} s: not all ranks "
                            "have come",
                            seconds);
    std::fprintf(stderr, "%s\n", error.str().c_str());
    std::_Exit(1);
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool isOver = false;
  std::thread thread; // the last member: it uses the others
};

/// A qrt_mpi_stop for a Stop.
int shouldStop(void *stop) {
  return (*static_cast<const ProcessLink::Stop *>(stop))();
}

void *dataOf(const ProcessLink::Stop &stop) {
  return const_cast<ProcessLink::Stop *>(&stop);
}

} // namespace

Expected<std::unique_ptr<ProcessLink>> MpiLink::create(const Options &options) {
  // A waiting rank must leave the processor to those it waits for.
  if (options.oversubscribed)
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1);
  void *library = nullptr;
  std::string tried;
  for (const std::string &path :
       {options.directory.empty() ? std::string() : options.directory + "/",
        std::string()}) {
    // Open MPI's own plugins look for its symbols among the global ones.
    library = dlopen((path + kPlugin).c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (library)
      break;
    const char *why = dlerror();
    if (tried.empty() && why)
      tried = why;
  }
  if (!library)
    return makeError(9020, "",
                     "cannot load {}, which the backend mpi needs: {}; install "
                     "Open MPI (libopenmpi-dev) and build again, or choose "
                     "another --comm",
                     kPlugin, tried);
  auto query = reinterpret_cast<qrt_mpi_query>(dlsym(library, QRT_MPI_SYMBOL));
  const qrt_mpi *mpi = query ? query() : nullptr;
  if (!mpi || mpi->version != QRT_MPI_VERSION)
    return makeError(9020, "", "{} is of another release than this qwen-rt",
                     kPlugin);
  std::unique_ptr<MpiLink> link(new MpiLink);
  link->mpi = mpi;
  StartWatch watch(options.startTimeoutSeconds);
  if (mpi->init(&link->self, &link->all) != 0)
    return makeError(9020, "", "cannot start MPI: {}", mpi->error());
  return std::unique_ptr<ProcessLink>(std::move(link));
}

Status MpiLink::result(int code, const char *what) const {
  if (code == 0)
    return Status::success();
  return makeError(9021, "", "{} failed: {}", what, mpi->error());
}

Expected<int> MpiLink::makeGroup(const std::vector<int> &members) {
  int handle = 0;
  QRT_RETURN_IF_ERROR(
      result(mpi->make_group(members.data(), static_cast<int>(members.size()),
                             &handle),
             "making a group"));
  return handle;
}

Status MpiLink::allToAll(int group, const void *in, void *out, int64_t bytes,
                         const Stop &stop) {
  return result(
      mpi->all_to_all(group, in, out, bytes, &shouldStop, dataOf(stop)),
      "an exchange of the ranks");
}

Status MpiLink::allGather(int group, const void *in, void *out, int64_t bytes,
                          const Stop &stop) {
  return result(
      mpi->all_gather(group, in, out, bytes, &shouldStop, dataOf(stop)),
      "a gathering of the ranks");
}

Status MpiLink::broadcast(void *data, int64_t bytes, const Stop &stop) {
  return result(mpi->broadcast(data, bytes, &shouldStop, dataOf(stop)),
                "a message of rank 0");
}

Status MpiLink::gather(const void *in, void *out, int64_t bytes,
                       const Stop &stop) {
  return result(mpi->gather(in, out, bytes, &shouldStop, dataOf(stop)),
                "a message to rank 0");
}

void MpiLink::abort(int status) {
  mpi->abort(status);
  std::_Exit(status);
}

Status MpiLink::finish() {
  if (finalized)
    return Status::success();
  finalized = true;
  if (mpi->finalize() != 0)
    return makeError(9021, "", "cannot end MPI: {}", mpi->error());
  return Status::success();
}
