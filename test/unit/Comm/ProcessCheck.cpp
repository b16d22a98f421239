//===- ProcessCheck.cpp - Collectives between processes -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   mpirun -n 8 qwen-process-check DATA TENSOR [LARGEST]
//
// Runs the collectives of the unit tests over MPI, or over TCP where the
// variables of torchrun say so; the results must have the bits that threads
// give.
//
//===----------------------------------------------------------------------===//

#include "CollectiveCases.h"
#include "runtime/comm/MpiLink.h"
#include "runtime/comm/ProcessTransport.h"
#include "runtime/comm/Ranks.h"
#include "runtime/comm/TcpLink.h"

#include <cstdio>
#include <cstdlib>
#include <thread>

using namespace qrt;

/// Each of several links has a port of its own.
static Expected<std::unique_ptr<ProcessLink>>
connect(const RankInfo &info, int number, const std::string &directory) {
  if (info.source == "Open MPI") {
    MpiLink::Options options;
    options.directory = directory;
    options.oversubscribed =
        info.ranks > static_cast<int>(std::thread::hardware_concurrency());
    return MpiLink::create(options);
  }
  size_t colon = info.rendezvous.rfind(':') + 1;
  TcpLink::Options options;
  options.rank = info.rank;
  options.ranks = info.ranks;
  options.rendezvous =
      info.rendezvous.substr(0, colon) +
      std::to_string(std::atoi(info.rendezvous.c_str() + colon) + number);
  options.startTimeoutSeconds = 60;
  return TcpLink::connect(options);
}

int main(int argc, char **argv) {
  if (argc < 3)
    return 2;
  Mesh mesh = test::makeMesh(std::atoi(argv[1]), std::atoi(argv[2]));
  int64_t largest = argc > 3 ? std::atoll(argv[3]) : 2000;
  std::string self = argv[0];
  auto info = findRanks({});
  if (!info || !*info || (*info)->ranks != mesh.ranks()) {
    std::fprintf(stderr, "not %d ranks\n", mesh.ranks());
    return 1;
  }
  for (bool ownThread : {false, true}) {
    auto link = connect(**info, ownThread, self.substr(0, self.rfind('/')));
    if (!link) {
      std::fprintf(stderr, "%s\n", link.error().str().c_str());
      return 1;
    }
    ProcessTransport::Options options;
    options.timeoutSeconds = 60;
    auto created =
        std::make_unique<ProcessTransport>(std::move(*link), options);
    ProcessTransport *processes = created.get();
    Communicator::Options how;
    how.ownThread = ownThread;
    how.debug = ownThread;
    Communicator comm(mesh, processes->rank(), std::move(created), how);
    std::string wrong = test::runCollectiveCases(comm, 5, largest);
    if (!wrong.empty()) {
      std::fprintf(stderr, "%s\n", wrong.c_str());
      processes->abort(1);
    }
    bool isMpi = (*info)->source == "Open MPI";
    if (isMpi && !ownThread)
      continue; // MPI ends once
    // After the thread has ended there is nobody else in MPI.
    int32_t one = 1;
    std::vector<int32_t> all(mesh.ranks());
    if (!processes->exchange(&one, 4, all.data()))
      processes->abort(1);
    if (ownThread && processes->rank() == 0)
      std::printf("all ranks agree\n");
    if (!processes->finish())
      return 1;
  }
  return 0;
}
