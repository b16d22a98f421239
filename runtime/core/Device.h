//===- Device.h - Where a module runs ---------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A device has memory and runs the entry points of modules in the order in
// which they are called. Work may be queued: only synchronize() waits. Kinds of
// devices are CpuDevice here, CudaDevice in runtime/cuda and SimDevice in
// runtime/cudasim.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_DEVICE_H
#define QWEN_RUNTIME_CORE_DEVICE_H

#include "runtime/abi/qwen_module.h"
#include "runtime/core/Buffer.h"
#include "runtime/core/Collectives.h"
#include "runtime/core/Mesh.h"
#include "runtime/cpu/ThreadPool.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qrt {

class Module;

/// Memory of a device, freed with the last copy of this object. The device must
/// outlive it.
class DeviceBuffer {
public:
  DeviceBuffer() = default;
  DeviceBuffer(char *base, int64_t bytes, std::shared_ptr<void> owner)
      : base(base), bytes(bytes), owner(std::move(owner)) {}

  /// An address of the device: to be read or written by its entry points, and
  /// through Device::upload and download.
  char *data() const { return base; }
  int64_t size() const { return bytes; }

private:
  char *base = nullptr;
  int64_t bytes = 0;
  std::shared_ptr<void> owner;
};

/// One device: the context that a module sees, its memory, and threads of the
/// host that work for it. All functions are called from one thread at a time,
/// the device's main thread. Several devices in one process share nothing.
class Device {
public:
  virtual ~Device();
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  qrt_ctx *context() { return &ctx.base; }
  /// Threads of the host.
  ThreadPool &pool() { return threadPool; }

  /// The target whose code runs here: "cpu", "cuda", "cuda-sim".
  virtual std::string_view target() const = 0;
  /// For messages: "cpu", "cuda:0 (NVIDIA H200)".
  virtual std::string name() const = 0;

  /// Whether the device's addresses are those of the host, so that entry points
  /// may be given any memory of the host.
  virtual bool sharesHostMemory() const = 0;
  /// Whether calls and copies are done when they return.
  virtual bool worksAtOnce() const { return true; }
  /// Zeroed memory, aligned to 64 bytes at least. `purpose` names it in the
  /// error (Q6001) when there is too little.
  virtual Expected<DeviceBuffer> allocate(int64_t bytes,
                                          const std::string &purpose) = 0;
  /// Bytes that can still be allocated; none if the device cannot tell.
  virtual Expected<std::optional<int64_t>> availableBytes() {
    return std::optional<int64_t>();
  }
  /// Copies from the host, behind everything queued before. `from` may change
  /// as soon as this returns.
  virtual Status upload(void *to, const void *from, int64_t bytes) = 0;
  /// Copies to the host, behind everything queued before. `to` is written, at
  /// the latest, when synchronize() returns.
  virtual Status download(void *to, const void *from, int64_t bytes) = 0;
  virtual Status zero(void *at, int64_t bytes) = 0;
  /// Waits for everything queued. Errors: what went wrong on the device.
  virtual Status synchronize() = 0;

  /// Makes the code of a module, opened for target(), ready to run. Called
  /// before its first call; does nothing the second time.
  virtual Status load(const Module &module) = 0;
  /// Runs (or queues) entry point `entry` of a loaded module. The arrays of
  /// `call` need not live on. Errors: Q6031, or why the device refused.
  virtual Status call(const Module &module, int entry, const qrt_call &call) {
    return runEntry(module, entry, call);
  }

  /// What the user should know about a module that was loaded, a line each.
  std::vector<std::string> takeNotes() { return std::exchange(notes, {}); }
  /// What metrics.jsonl says of the device, by key ("gpu/..."); nothing for
  /// what the system does not tell.
  virtual std::map<std::string, std::optional<double>> metrics() { return {}; }

  /// From now on this device is `rank` of a mesh and its collectives go through
  /// `collectives`, which must outlive it. Before, it is alone.
  void join(const Mesh &mesh, int rank, Collectives &collectives);
  const Mesh &mesh() const { return ranks; }
  int rank() const { return self; }
  bool isAlone() const { return !collectives; }

  /// Bytes allocated now, and the most that ever were.
  int64_t allocatedBytes() const { return allocated; }
  int64_t peakBytes() const { return peak; }

protected:
  /// Starts `threads` threads of the host, at least 1 (the main thread counts).
  /// May throw std::system_error.
  explicit Device(int threads);

  /// The functions of qrt_api. They return 0 or a QRT_E code; then failure()
  /// says why.
  virtual void parallelFor(const char *name, qrt_task task, void *args,
                           int64_t n, int64_t grain);
  virtual int32_t collectiveStart(const qrt_collective &collective,
                                  const void *in, void *out);
  virtual int32_t collectiveWait();
  virtual int32_t launch(uint32_t kernel, const uint32_t grid[3],
                         void *const *params);
  virtual int32_t product(uint32_t, int64_t, void *const *) {
    return QRT_NO_LIBRARY;
  }

  /// Notes why a function of the API failed; returns `code`.
  int32_t fail(int32_t code, Error error);
  void note(std::string text) { notes.push_back(std::move(text)); }
  /// Calls the code of an entry; call() without what a kind of device adds.
  Status runEntry(const Module &module, int entry, const qrt_call &call);
  /// The module whose entry runs now.
  const Module &running() const { return *current; }

  /// Keeps count of allocated bytes; `owner` frees them.
  DeviceBuffer makeBuffer(char *base, int64_t bytes,
                          std::shared_ptr<void> owner);
  /// Memory of the host as a buffer of this device.
  Expected<DeviceBuffer> allocateOnHost(int64_t bytes,
                                        const std::string &purpose);

private:
  struct Context {
    qrt_ctx base;
    Device *device;
  };
  static const qrt_api kApi;
  static Device &of(qrt_ctx *ctx) {
    return *reinterpret_cast<Context *>(ctx)->device;
  }

  Context ctx{};
  ThreadPool threadPool;
  std::vector<std::string> notes;
  const Module *current = nullptr;
  std::optional<Error> failure;
  Mesh ranks;
  int self = 0;
  Collectives *collectives = nullptr;
  int64_t allocated = 0, peak = 0;
};

/// The host's processors. Its memory is the host's.
class CpuDevice : public Device {
public:
  /// Errors: Q6021 (the threads cannot be started).
  static Expected<std::unique_ptr<CpuDevice>> create(int threads);

  std::string_view target() const override { return "cpu"; }
  std::string name() const override { return "cpu"; }
  bool sharesHostMemory() const override { return true; }
  Expected<DeviceBuffer> allocate(int64_t bytes,
                                  const std::string &purpose) override;
  Status upload(void *to, const void *from, int64_t bytes) override;
  Status download(void *to, const void *from, int64_t bytes) override;
  Status zero(void *at, int64_t bytes) override;
  Status synchronize() override { return Status::success(); }
  /// Gives every worker the scratch that the module's tasks need.
  Status load(const Module &module) override;

private:
  explicit CpuDevice(int threads) : Device(threads) {}

  Buffer scratch;
  int64_t scratchBytes = 0;
};

/// What the user asks for with --device: a kind, and which one of it.
struct DeviceSpec {
  std::string kind = "cpu"; ///< "cpu", "cuda", "cuda-sim"
  std::optional<int> index; ///< of "cuda:1"
};

/// Reads "cpu", "cuda", "cuda:1", "cuda-sim". Errors: Q7002, naming the nearest
/// of `kinds`.
Expected<DeviceSpec> parseDeviceSpec(std::string_view text,
                                     const std::vector<std::string> &kinds);

/// The threads of each of `devices` devices when the user asked for `threads`
/// in all (0: all processors): an equal part, at least 1.
int threadsPerDevice(int threads, int devices);

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_DEVICE_H
