//===- MpiPlugin.cpp - libqwen-comm-mpi.so --------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations are non-blocking ones that are tested in a loop, which yields: the
// ranks may be more than the processors, and a rank must be able to give up
// when another one has died.
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/MpiPlugin.h"

// The C++ bindings of MPI are gone from the standard.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <sched.h>
#include <string>
#include <time.h>
#include <vector>

namespace {

std::string &message() {
  static std::string text;
  return text;
}

std::vector<MPI_Comm> &groups() {
  static std::vector<MPI_Comm> list;
  return list;
}

int check(int code, const char *what) {
  if (code == MPI_SUCCESS)
    return 0;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  message() = std::string(what) + ": " + text;
  return -1;
}

int init(int *rank, int *ranks) {
  int started = 0, provided = 0;
  MPI_Initialized(&started);
  // Collectives may be called from another thread than the first.
  if (!started &&
      check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided),
            "MPI_Init_thread"))
    return -1;
  if (provided < MPI_THREAD_SERIALIZED && !started) {
    message() = "this MPI is built without support of threads";
    return -1;
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (check(MPI_Comm_rank(MPI_COMM_WORLD, rank), "MPI_Comm_rank"))
    return -1;
  return check(MPI_Comm_size(MPI_COMM_WORLD, ranks), "MPI_Comm_size");
}

int makeGroup(const int *ranks, int count, int *handle) {
  MPI_Group world, group;
  MPI_Comm comm;
  if (check(MPI_Comm_group(MPI_COMM_WORLD, &world), "MPI_Comm_group") ||
      check(MPI_Group_incl(world, count, ranks, &group), "MPI_Group_incl") ||
      check(MPI_Comm_create_group(MPI_COMM_WORLD, group, ranks[0], &comm),
            "MPI_Comm_create_group"))
    return -1;
  MPI_Group_free(&group);
  MPI_Group_free(&world);
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  *handle = static_cast<int>(groups().size());
  groups().push_back(comm);
  return 0;
}

/// Waits for a request, leaving the processor to others.
int finish(MPI_Request request, const char *what, qrt_mpi_stop stop,
           void *data) {
  for (int64_t round = 0;; ++round) {
    int done = 0;
    if (check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what))
      return -1;
    if (done)
      return 0;
    if (round % 64 == 63 && stop(data)) {
      // What was begun can neither be ended nor undone.
      message() = "given up";
      return -1;
    }
    if (round < 20000) {
      sched_yield();
    } else {
      timespec pause = {0, 200000};
      nanosleep(&pause, nullptr);
    }
  }
}

int allToAll(int handle, const void *in, void *out, int64_t bytes,
             qrt_mpi_stop stop, void *data) {
  MPI_Request request;
  auto count = static_cast<int>(bytes);
  if (check(MPI_Ialltoall(in, count, MPI_BYTE, out, count, MPI_BYTE,
                          groups()[handle], &request),
            "MPI_Ialltoall"))
    return -1;
  return finish(request, "MPI_Ialltoall", stop, data);
}

int allGather(int handle, const void *in, void *out, int64_t bytes,
              qrt_mpi_stop stop, void *data) {
  MPI_Request request;
  auto count = static_cast<int>(bytes);
  if (check(MPI_Iallgather(in, count, MPI_BYTE, out, count, MPI_BYTE,
                           groups()[handle], &request),
            "MPI_Iallgather"))
    return -1;
  return finish(request, "MPI_Iallgather", stop, data);
}

int broadcast(void *buffer, int64_t bytes, qrt_mpi_stop stop, void *data) {
  MPI_Request request;
  if (check(MPI_Ibcast(buffer, static_cast<int>(bytes), MPI_BYTE, 0,
                       MPI_COMM_WORLD, &request),
            "MPI_Ibcast"))
    return -1;
  return finish(request, "MPI_Ibcast", stop, data);
}

int gather(const void *in, void *out, int64_t bytes, qrt_mpi_stop stop,
           void *data) {
  MPI_Request request;
  auto count = static_cast<int>(bytes);
  if (check(MPI_Igather(in, count, MPI_BYTE, out, count, MPI_BYTE, 0,
                        MPI_COMM_WORLD, &request),
            "MPI_Igather"))
    return -1;
  return finish(request, "MPI_Igather", stop, data);
}

void abortJob(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

int finalize() {
  for (MPI_Comm &comm : groups())
    MPI_Comm_free(&comm);
  groups().clear();
  return check(MPI_Finalize(), "MPI_Finalize");
}

const char *lastError() { return message().c_str(); }

const qrt_mpi kTable = {QRT_MPI_VERSION, init,      makeGroup, allToAll,
                        allGather,       broadcast, gather,    abortJob,
                        finalize,        lastError};

} // namespace

extern "C" __attribute__((visibility("default"))) const qrt_mpi *
qwen_comm_mpi() {
  return &kTable;
}
