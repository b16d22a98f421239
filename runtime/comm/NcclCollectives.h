//===- NcclCollectives.h - The collectives of one GPU -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_NCCLCOLLECTIVES_H
#define QWEN_RUNTIME_COMM_NCCLCOLLECTIVES_H

#include "runtime/comm/Nccl.h"
#include "runtime/comm/ProcessTransport.h"
#include "runtime/core/Collectives.h"
#include "runtime/core/Mesh.h"
#include "runtime/cuda/CudaDevice.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qrt {

/// The backend "nccl": queues collectives on the GPU's stream, behind and
/// before its kernels, so that nothing has to be waited for here and a call can
/// be captured. Sums are made in NCCL's order, so the bits are not those of
/// other backends.
///
/// One process has one GPU. Communicators are made once, when the first
/// collective of a group of ranks is started: in the same order everywhere, and
/// before anything is captured.
class NcclCollectives : public Collectives {
public:
  struct Options {
    bool debug = false; ///< compare every collective over all ranks first
    std::string library = "libnccl.so.2";
  };

  /// All processes call it together; `processes` connects them and, like
  /// `device`, outlives this. Errors: Q9023 (no NCCL), Q9024 (it reports an
  /// error), those of `processes`.
  static Expected<std::unique_ptr<NcclCollectives>>
  create(const Mesh &mesh, CudaDevice &device, ProcessTransport &processes,
         Options options);

  /// Errors: Q9011, Q9012, Q9024.
  Status start(const qrt_collective &collective, const void *in,
               void *out) override;
  /// What comes later on the stream waits by itself.
  Status wait() override { return Status::success(); }

private:
  NcclCollectives(const Mesh &mesh, CudaDevice &device,
                  ProcessTransport &processes, Options options)
      : mesh(mesh), device(device), processes(processes),
        options(std::move(options)) {}
  Expected<nccl::Comm> communicatorOf(const RankGroup &group);
  /// A copy of an input that lies where the output goes.
  Expected<const void *> copyOf(const void *in, int64_t bytes);
  nccl::Result enqueue(const qrt_collective &collective, nccl::Comm comm,
                       int size, const void *in, void *out);
  Status result(nccl::Result code, const std::string &what) const;

  const Mesh mesh;
  CudaDevice &device;
  ProcessTransport &processes;
  Options options;
  std::shared_ptr<const nccl::Library> library;
  nccl::Comm world = nullptr;
  /// By axes. They end with the process: to end one all ranks are needed, which
  /// may be gone.
  std::map<uint64_t, nccl::Comm> communicators;
  std::vector<DeviceBuffer> copies; ///< the last one is used
  int64_t sequence = 0;             ///< collectives started so far
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_NCCLCOLLECTIVES_H
