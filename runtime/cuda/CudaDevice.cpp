//===- CudaDevice.cpp - An NVIDIA GPU -------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/CudaDevice.h"
#include "runtime/core/DType.h"
#include "runtime/core/Module.h"
#include "runtime/cuda/Images.h"

#include <algorithm>
#include <cstdlib>

using namespace qrt;
using namespace qrt::cuda;

namespace {

/// Of each direction: a step's tokens or a token's logits many times over.
constexpr int64_t kPinnedBytes = int64_t(64) << 20;
/// Prompts have many lengths; the graphs of those that come back are kept.
constexpr size_t kMaxReplays = 64;

CUdeviceptr deviceAddress(const void *address) {
  return reinterpret_cast<CUdeviceptr>(address);
}

} // namespace

//===----------------------------------------------------------------------===//
// The device and its memory
//===----------------------------------------------------------------------===//

Expected<std::unique_ptr<CudaDevice>> CudaDevice::create(CudaOptions options) {
  const char *sync = std::getenv("QWEN_CUDA_SYNC");
  options.synchronous |= sync && *sync && *sync != '0';
  std::unique_ptr<CudaDevice> device;
  try {
    device.reset(new CudaDevice(std::move(options)));
  } catch (const std::exception &error) {
    return makeError(6021, "", "cannot start {} threads: {}", options.threads,
                     error.what());
  }
  QRT_RETURN_IF_ERROR(device->open());
  return device;
}

Status CudaDevice::open() {
  QRT_ASSIGN_OR_RETURN(driver, Driver::open(options.library));
  deviceName = fmt::format("cuda:{}", options.index);
  int count = 0;
  if (CUresult result = driver->deviceCount(&count); result != kSuccess)
    return makeError(6050, "", "the NVIDIA driver finds no GPU: {}",
                     driver->describe(result));
  if (count == 0)
    return makeError(6050, "",
                     "this machine has no NVIDIA GPU; choose --device cpu");
  if (options.index >= count)
    return makeError(6050, "", "there is no {}: this machine has {} GPU{}",
                     deviceName, count, count == 1 ? " (cuda:0)" : "s");
  int major = 0, minor = 0;
  char text[256] = {}, bus[64] = {};
  CUresult result = driver->deviceGet(&device, options.index);
  if (result == kSuccess)
    result = driver->deviceName(text, sizeof text, device);
  if (result == kSuccess)
    result = driver->deviceAttribute(&major, kComputeMajor, device);
  if (result == kSuccess)
    result = driver->deviceAttribute(&minor, kComputeMinor, device);
  if (result == kSuccess)
    result = driver->deviceAttribute(&maxShared, kMaxSharedOptin, device);
  if (result == kSuccess)
    result = driver->contextRetain(&cudaContext, device);
  if (result == kSuccess)
    result = driver->contextSetCurrent(cudaContext);
  if (result == kSuccess)
    result = driver->streamCreate(&stream, kNonBlocking);
  if (result != kSuccess)
    return makeError(6050, "", "cannot use {}: {}; check it with nvidia-smi",
                     deviceName, driver->describe(result));
  arch = static_cast<uint32_t>(major * 10 + minor);
  deviceName += fmt::format(" ({})", text);
  if (driver->devicePciBusId(bus, sizeof bus, device) == kSuccess)
    nvml = Nvml::open(bus);
  pinned = std::make_unique<PinnedMemory>(
      *driver, stream, [this](CUresult result, const char *what) {
        return failed(result, what);
      });
  return pinned->create(kPinnedBytes);
}

CudaDevice::~CudaDevice() {
  if (!cudaContext)
    return;
  driver->contextSetCurrent(cudaContext);
  // After an error everything here fails too, and the process ends anyway.
  if (stream)
    driver->streamSynchronize(stream);
  pinned.reset();
  products.reset();
  for (auto &[module, program] : programs) {
    for (auto &[key, replay] : program.replays)
      if (replay.graph)
        driver->graphExecDestroy(replay.graph);
    driver->moduleUnload(program.code);
  }
  if (stream)
    driver->streamDestroy(stream);
  driver->contextRelease(device);
}

Error CudaDevice::failed(CUresult result, std::string_view what) const {
  std::string text =
      fmt::format("{}: {}: {}", deviceName, what, driver->describe(result));
  if (result == kOutOfMemory)
    return makeError(6001, "", "out of memory: {}", text);
  // Errors of kernels come later than their launch.
  if (!lastEntry.empty())
    text += fmt::format("; last called was entry point '{}'{}", lastEntry,
                        options.synchronous
                            ? ""
                            : ", and QWEN_CUDA_SYNC=1 in the environment finds "
                              "the kernel");
  return makeError(6052, "", "{}", text);
}

Expected<DeviceBuffer> CudaDevice::allocate(int64_t bytes,
                                            const std::string &purpose) {
  CUdeviceptr address = 0;
  // Nothing may be empty: arguments are never null.
  int64_t size = std::max<int64_t>(bytes, 1);
  if (CUresult result = driver->memAlloc(&address, size); result != kSuccess)
    return failed(result, fmt::format("{} needs {} bytes", purpose, bytes));
  auto *base = reinterpret_cast<char *>(address);
  std::shared_ptr<void> owner(base, [this, address](void *) {
    driver->contextSetCurrent(cudaContext);
    driver->memFree(address);
  });
  DeviceBuffer buffer = makeBuffer(base, bytes, std::move(owner));
  QRT_RETURN_IF_ERROR(zero(base, size));
  return buffer;
}

Expected<std::optional<int64_t>> CudaDevice::availableBytes() {
  size_t available = 0, total = 0;
  if (CUresult result = driver->memInfo(&available, &total); result != kSuccess)
    return failed(result, "cannot ask for its free memory");
  return std::optional<int64_t>(static_cast<int64_t>(available));
}

Status CudaDevice::upload(void *to, const void *from, int64_t bytes) {
  return pinned->upload(deviceAddress(to), from, bytes);
}

Status CudaDevice::download(void *to, const void *from, int64_t bytes) {
  return pinned->download(to, deviceAddress(from), bytes);
}

Status CudaDevice::zero(void *at, int64_t bytes) {
  if (bytes == 0)
    return Status::success();
  if (CUresult result = driver->setBytes(deviceAddress(at), 0, bytes, stream);
      result != kSuccess)
    return failed(result, "cannot clear memory");
  return Status::success();
}

Status CudaDevice::copy(void *to, const void *from, int64_t bytes) {
  if (bytes == 0)
    return Status::success();
  if (CUresult result = driver->copyOnDevice(
          deviceAddress(to), deviceAddress(from), bytes, stream);
      result != kSuccess)
    return failed(result, "cannot copy memory");
  return Status::success();
}

Status CudaDevice::synchronize() { return pinned->drain(); }

std::map<std::string, std::optional<double>> CudaDevice::metrics() {
  auto mb = [](int64_t bytes) { return double(bytes) / 1048576; };
  size_t available = 0, total = 0;
  std::optional<double> reserved, busy;
  if (driver->memInfo(&available, &total) == kSuccess)
    reserved = mb(static_cast<int64_t>(total - available));
  if (nvml)
    busy = nvml->utilization();
  return {{"gpu/memory_allocated_mb", mb(allocatedBytes())},
          {"gpu/memory_reserved_mb", reserved},
          {"gpu/memory_peak_mb", mb(peakBytes())},
          {"gpu/utilization_percent", busy}};
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

Status CudaDevice::load(const Module &module) {
  if (programs.count(&module))
    return Status::success();
  const qrt_variant &variant = module.variant();
  QRT_ASSIGN_OR_RETURN(LoadedImage image, loadImage(*driver, variant, arch,
                                                    deviceName, module.path()));
  Program program;
  program.code = image.module;
  Status status = findKernels(module, program, cuda::nameOf(*image.image));
  if (!status) {
    driver->moduleUnload(program.code);
    return status;
  }
  if (image.portable)
    note(fmt::format("{} is none of the GPUs that the module was compiled for; "
                     "it runs the portable code ({}), which may be slower",
                     deviceName, cuda::nameOf(*image.image)));
  programs[&module] = std::move(program);
  return findProducts(module);
}

Status CudaDevice::findProducts(const Module &module) {
  if (hasLookedForProducts || module.variant().num_products == 0)
    return Status::success();
  hasLookedForProducts = true;
  std::string reason;
  QRT_ASSIGN_OR_RETURN(auto library, CublasLt::open(reason));
  if (!library) {
    note(fmt::format("matrix products run kernels of the module, which may be "
                     "slower than cuBLASLt: {}",
                     reason));
    return Status::success();
  }
  char gpu[256] = {};
  driver->deviceName(gpu, sizeof gpu, device);
  QRT_ASSIGN_OR_RETURN(
      products, Products::create(std::move(library), driver, stream, gpu));
  return Status::success();
}

Status CudaDevice::findKernels(const Module &module, Program &program,
                               const std::string &image) {
  const qrt_variant &variant = module.variant();
  for (uint32_t i = 0; i < variant.num_kernels; ++i) {
    const qrt_kernel &kernel = variant.kernels[i];
    if (kernel.shared_bytes > static_cast<uint32_t>(maxShared))
      return makeError(6051, module.path(),
                       "kernel '{}' needs {} bytes of shared memory, {} has "
                       "{} for a block",
                       kernel.name, kernel.shared_bytes, deviceName, maxShared);
    CUfunction function = nullptr;
    if (CUresult result =
            driver->moduleFunction(&function, program.code, kernel.name);
        result != kSuccess)
      return makeError(6016, module.path(),
                       "damaged module: no kernel '{}' in its {}: {}",
                       kernel.name, image, driver->describe(result));
    // Beyond 48 KB a kernel must be told.
    if (kernel.shared_bytes > 48 * 1024)
      if (CUresult result = driver->functionSetAttribute(
              function, kMaxDynamicShared,
              static_cast<int>(kernel.shared_bytes));
          result != kSuccess)
        return makeError(6052, module.path(),
                         "kernel '{}' gets no {} bytes of shared memory: {}",
                         kernel.name, kernel.shared_bytes,
                         driver->describe(result));
    program.kernels.push_back(function);
  }
  return Status::success();
}

Status CudaDevice::call(const Module &module, int entry, const qrt_call &call) {
  auto it = programs.find(&module);
  if (it == programs.end())
    return makeError(6031, module.path(), "the module is not loaded");
  active = &it->second;
  const EntryInfo &info = module.manifest().entries[entry];
  lastEntry = info.name;
  if (!options.graphs || options.synchronous)
    return runEntry(module, entry, call);
  std::vector<uint64_t> key = {static_cast<uint64_t>(entry),
                               deviceAddress(call.arena)};
  for (size_t i = 0; i < info.extents.size(); ++i)
    key.push_back(static_cast<uint64_t>(call.extents[i]));
  for (int64_t i = 0; i < info.slots; ++i)
    key.push_back(deviceAddress(call.args[i]));
  forgetOldReplays(*active);
  Program::Replay &replay = active->replays[std::move(key)];
  replay.lastUse = ++clock;
  // What is called once is not worth a graph, and the first call loads lazily.
  if (++replay.calls == 1 || replay.refused)
    return runEntry(module, entry, call);
  if (!replay.graph) {
    QRT_RETURN_IF_ERROR(capture(module, entry, call, replay));
    if (replay.refused)
      return runEntry(module, entry, call);
  }
  if (CUresult result = driver->graphLaunch(replay.graph, stream);
      result != kSuccess)
    return failed(result, "cannot replay its graph");
  return Status::success();
}

Status CudaDevice::capture(const Module &module, int entry,
                           const qrt_call &call, Program::Replay &replay) {
  if (driver->beginCapture(stream, kCaptureThreadLocal) != kSuccess) {
    replay.refused = true;
    return Status::success();
  }
  capturing = true;
  Status status = runEntry(module, entry, call);
  capturing = false;
  CUgraph graph = nullptr;
  CUresult result = driver->endCapture(stream, &graph);
  if (!status) {
    if (graph)
      driver->graphDestroy(graph);
    return status;
  }
  if (result == kSuccess && graph)
    result = driver->graphInstantiate(&replay.graph, graph, 0);
  if (graph)
    driver->graphDestroy(graph);
  replay.refused = result != kSuccess || !replay.graph;
  graphsMade += !replay.refused;
  return Status::success();
}

void CudaDevice::forgetOldReplays(Program &program) {
  if (program.replays.size() < kMaxReplays)
    return;
  auto oldest = std::min_element(
      program.replays.begin(), program.replays.end(),
      [](auto &a, auto &b) { return a.second.lastUse < b.second.lastUse; });
  if (oldest->second.graph)
    driver->graphExecDestroy(oldest->second.graph);
  program.replays.erase(oldest);
}

std::string CudaDevice::describeKernel(uint32_t kernel) const {
  const char *name = running().variant().kernels[kernel].name;
  std::string location = running().kernelLocation(kernel);
  return location.empty() ? fmt::format("kernel '{}'", name)
                          : fmt::format("kernel '{}' of {}", name, location);
}

int32_t CudaDevice::launch(uint32_t kernel, const uint32_t grid[3],
                           void *const *params) {
  if (kernel >= active->kernels.size())
    return fail(QRT_E_LAUNCH,
                makeError(6016, running().path(),
                          "damaged module: launches kernel {} of {}", kernel,
                          active->kernels.size()));
  // An empty grid is an error to the driver, but means no work.
  if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0)
    return QRT_E_OK;
  const qrt_kernel &info = running().variant().kernels[kernel];
  CUresult result = driver->launchKernel(
      active->kernels[kernel], grid[0], grid[1], grid[2], info.block[0],
      info.block[1], info.block[2], info.shared_bytes, stream,
      const_cast<void **>(params), nullptr);
  if (result == kSuccess && options.synchronous && !capturing)
    result = driver->streamSynchronize(stream);
  if (result == kSuccess)
    return QRT_E_OK;
  return fail(QRT_E_LAUNCH,
              failed(result, fmt::format("{} with a grid of {} x {} x {}",
                                         describeKernel(kernel), grid[0],
                                         grid[1], grid[2])));
}

int32_t CudaDevice::product(uint32_t index, int64_t rows, void *const *params) {
  const qrt_variant &variant = running().variant();
  if (index >= variant.num_products ||
      variant.products[index].kernel >= variant.num_kernels)
    return fail(QRT_E_LAUNCH, makeError(6016, running().path(),
                                        "damaged module: runs product {} of {}",
                                        index, variant.num_products));
  if (!products)
    return QRT_NO_LIBRARY;
  const qrt_product &info = variant.products[index];
  Expected<bool> isQueued = products->run(info, rows, params, capturing);
  auto where = [&] {
    return fmt::format("the product of {} for {} rows",
                       describeKernel(info.kernel), rows);
  };
  if (!isQueued)
    return fail(QRT_E_LAUNCH,
                makeError(isQueued.error().code, "", "{}: {}: {}", deviceName,
                          where(), isQueued.error().message));
  if (!*isQueued)
    return QRT_NO_LIBRARY;
  if (options.synchronous && !capturing)
    if (CUresult result = driver->streamSynchronize(stream); result != kSuccess)
      return fail(QRT_E_LAUNCH, failed(result, where()));
  return QRT_E_OK;
}

void CudaDevice::parallelFor(const char *name, qrt_task, void *, int64_t,
                             int64_t) {
  fail(QRT_E_LAUNCH,
       makeError(6016, running().path(),
                 "damaged module: its code for target cuda runs task '{}' on "
                 "the host",
                 name));
}

int32_t CudaDevice::collectiveStart(const qrt_collective &collective,
                                    const void *in, void *out) {
  if (!isAlone() || collective.dtype < 0 || collective.dtype > QRT_U8 ||
      collective.count < 0)
    return Device::collectiveStart(collective, in, out);
  // Over a group of one device every collective copies its input.
  int64_t bytes =
      collective.count * bytesOf(static_cast<DType>(collective.dtype));
  Status status = in == out ? Status::success() : copy(out, in, bytes);
  return status ? QRT_E_OK : fail(QRT_E_COLLECTIVE, std::move(status.error()));
}
