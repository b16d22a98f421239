//===- MpiCheck.cpp - Collectives between processes -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   mpirun -n 8 qwen-mpi-check DATA TENSOR [LARGEST]
//
// Runs the collectives of the unit tests over MPI; the results must have the
// bits that threads give.
//
//===----------------------------------------------------------------------===//

#include "CollectiveCases.h"
#include "runtime/comm/MpiTransport.h"

#include <cstdio>
#include <cstdlib>
#include <thread>

using namespace qrt;

int main(int argc, char **argv) {
  if (argc < 3)
    return 2;
  Mesh mesh = test::makeMesh(std::atoi(argv[1]), std::atoi(argv[2]));
  int64_t largest = argc > 3 ? std::atoll(argv[3]) : 2000;
  std::string self = argv[0];
  MpiTransport::Options options;
  options.timeoutSeconds = 60;
  options.directory = self.substr(0, self.find_last_of('/'));
  options.oversubscribed =
      mesh.ranks() > static_cast<int>(std::thread::hardware_concurrency());
  auto created = MpiTransport::create(options);
  if (!created) {
    std::fprintf(stderr, "%s\n", created.error().str().c_str());
    return 1;
  }
  MpiTransport *mpi = created->get();
  if (mpi->ranks() != mesh.ranks()) {
    std::fprintf(stderr, "%d ranks, not %d\n", mpi->ranks(), mesh.ranks());
    mpi->abort(1);
  }
  int rank = mpi->rank();
  for (bool ownThread : {false, true}) {
    Communicator::Options how;
    how.ownThread = ownThread;
    how.debug = ownThread;
    if (ownThread) {
      created = MpiTransport::create(options);
      mpi = created->get();
    }
    Communicator comm(mesh, rank, std::move(*created), how);
    std::string wrong = test::runCollectiveCases(comm, 5, largest);
    if (!wrong.empty()) {
      std::fprintf(stderr, "%s\n", wrong.c_str());
      mpi->abort(1);
    }
    if (ownThread) {
      // After the thread has ended there is nobody else in MPI.
      int32_t one = 1;
      std::vector<int32_t> all(mesh.ranks());
      if (!mpi->exchange(&one, 4, all.data()))
        mpi->abort(1);
      if (rank == 0)
        std::printf("all ranks agree\n");
      if (!mpi->finish())
        return 1;
    }
  }
  return 0;
}
