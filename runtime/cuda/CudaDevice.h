//===- CudaDevice.h - An NVIDIA GPU -----------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDA_CUDADEVICE_H
#define QWEN_RUNTIME_CUDA_CUDADEVICE_H

#include "runtime/core/Device.h"
#include "runtime/cuda/Driver.h"
#include "runtime/cuda/Nvml.h"
#include "runtime/cuda/PinnedMemory.h"
#include "runtime/cuda/Products.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qrt {

struct CudaOptions {
  int index = 0;
  int threads = 1; ///< of the host
  std::string library = "libcuda.so.1";
  /// Calls that repeat are captured and replayed as graphs.
  bool graphs = true;
  /// Waits after every kernel, so that an error names the kernel that caused
  /// it. Slow; implies no graphs. QWEN_CUDA_SYNC=1 turns it on.
  bool synchronous = false;
};

/// One GPU and one stream of work on it. A call of an entry point queues
/// kernels; the second call with the same arguments is captured as a CUDA
/// graph, and later ones replay it. Errors of kernels come with synchronize().
class CudaDevice : public Device {
public:
  /// Errors: Q6050 (no driver, no such GPU), Q6001.
  static Expected<std::unique_ptr<CudaDevice>> create(CudaOptions options);
  ~CudaDevice() override;

  std::string_view target() const override { return "cuda"; }
  std::string name() const override { return deviceName; }
  bool sharesHostMemory() const override { return false; }
  bool worksAtOnce() const override { return false; }
  Expected<DeviceBuffer> allocate(int64_t bytes,
                                  const std::string &purpose) override;
  Expected<std::optional<int64_t>> availableBytes() override;
  Status upload(void *to, const void *from, int64_t bytes) override;
  Status download(void *to, const void *from, int64_t bytes) override;
  Status zero(void *at, int64_t bytes) override;
  /// Copies on the device, behind everything queued before.
  Status copy(void *to, const void *from, int64_t bytes);
  Status synchronize() override;
  /// Errors: Q6051 (no code that this GPU runs), Q6016, Q6052, Q6053.
  Status load(const Module &module) override;
  Status call(const Module &module, int entry, const qrt_call &call) override;
  std::map<std::string, std::optional<double>> metrics() override;

  /// Where its work is queued, for libraries.
  cuda::CUstream workStream() const { return stream; }
  /// 90 for compute capability 9.0.
  uint32_t architecture() const { return arch; }
  /// Graphs that were made, for tests.
  int64_t graphCount() const { return graphsMade; }

protected:
  void parallelFor(const char *name, qrt_task task, void *args, int64_t n,
                   int64_t grain) override;
  int32_t collectiveStart(const qrt_collective &collective, const void *in,
                          void *out) override;
  int32_t launch(uint32_t kernel, const uint32_t grid[3],
                 void *const *params) override;
  int32_t product(uint32_t product, int64_t rows, void *const *params) override;

private:
  /// The code of one module on this device.
  struct Program {
    cuda::CUmodule code = nullptr;
    std::vector<cuda::CUfunction> kernels;
    /// By entry, extents, arena and arguments.
    struct Replay {
      int64_t calls = 0, lastUse = 0;
      cuda::CUgraphExec graph = nullptr;
      bool refused = false; ///< cannot be captured
    };
    std::map<std::vector<uint64_t>, Replay> replays;
  };

  explicit CudaDevice(CudaOptions options)
      : Device(options.threads), options(std::move(options)) {}
  Status open();
  Status findKernels(const Module &module, Program &program,
                     const std::string &image);
  /// Loads cuBLASLt for the first module that has products for it.
  Status findProducts(const Module &module);
  Error failed(cuda::CUresult result, std::string_view what) const;
  Status capture(const Module &module, int entry, const qrt_call &call,
                 Program::Replay &replay);
  void forgetOldReplays(Program &program);
  std::string describeKernel(uint32_t kernel) const;

  CudaOptions options;
  std::shared_ptr<const cuda::Driver> driver;
  cuda::CUdevice device = 0;
  cuda::CUcontext cudaContext = nullptr;
  cuda::CUstream stream = nullptr;
  uint32_t arch = 0;
  int maxShared = 0;
  std::string deviceName;
  std::unique_ptr<cuda::PinnedMemory> pinned;
  std::unique_ptr<cuda::Nvml> nvml;
  std::unique_ptr<cuda::Products> products;
  bool hasLookedForProducts = false;
  std::map<const Module *, Program> programs;
  Program *active = nullptr;
  std::string lastEntry;
  bool capturing = false;
  int64_t clock = 0, graphsMade = 0;
};

} // namespace qrt

#endif // QWEN_RUNTIME_CUDA_CUDADEVICE_H
