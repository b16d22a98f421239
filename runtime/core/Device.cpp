//===- Device.cpp - Where a module runs -----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Device.h"
#include "runtime/core/DType.h"
#include "runtime/core/Module.h"
#include "runtime/core/Suggest.h"
#include "runtime/cpu/CpuFeatures.h"

#include <algorithm>
#include <cstring>

#include <fmt/ranges.h>

using namespace qrt;

//===----------------------------------------------------------------------===//
// The table that modules see
//===----------------------------------------------------------------------===//

const qrt_api Device::kApi = {
    QRT_ABI_VERSION,
    0,
    [](qrt_ctx *ctx, const char *name, qrt_task task, void *args, int64_t n,
       int64_t grain) { of(ctx).parallelFor(name, task, args, n, grain); },
    [](qrt_ctx *ctx, const qrt_collective *collective, const void *in,
       void *out) { return of(ctx).collectiveStart(*collective, in, out); },
    [](qrt_ctx *ctx) { return of(ctx).collectiveWait(); },
    [](qrt_ctx *ctx, uint32_t kernel, const uint32_t grid[3],
       void *const *params) { return of(ctx).launch(kernel, grid, params); },
    [](qrt_ctx *ctx, uint32_t product, int64_t rows, void *const *params) {
      return of(ctx).product(product, rows, params);
    }};

Device::Device(int threads) : threadPool(std::max(threads, 1)) {
  ctx = {{&kApi}, this};
}

Device::~Device() = default;

void Device::parallelFor(const char *name, qrt_task task, void *args, int64_t n,
                         int64_t grain) {
  threadPool.parallelFor(name, task, args, n, grain);
}

void Device::join(const Mesh &mesh, int rank, Collectives &others) {
  ranks = mesh;
  self = rank;
  collectives = &others;
}

int32_t Device::collectiveStart(const qrt_collective &collective,
                                const void *in, void *out) {
  if (collectives) {
    Status status = collectives->start(collective, in, out);
    return status ? QRT_E_OK
                  : fail(QRT_E_COLLECTIVE, std::move(status.error()));
  }
  // Over a group of one device every collective copies its input.
  if (collective.dtype < 0 || collective.dtype > QRT_U8 || collective.count < 0)
    return fail(QRT_E_COLLECTIVE,
                makeError(6016, current->path(),
                          "damaged module: collective {} of type {} and {} "
                          "elements",
                          collective.id, collective.dtype, collective.count));
  if (in != out)
    std::memmove(out, in,
                 collective.count *
                     bytesOf(static_cast<DType>(collective.dtype)));
  return QRT_E_OK;
}

int32_t Device::collectiveWait() {
  if (!collectives)
    return QRT_E_OK;
  Status status = collectives->wait();
  return status ? QRT_E_OK : fail(QRT_E_COLLECTIVE, std::move(status.error()));
}

int32_t Device::launch(uint32_t kernel, const uint32_t[3], void *const *) {
  return fail(QRT_E_LAUNCH,
              makeError(6016, current->path(),
                        "damaged module: its code for target {} launches "
                        "kernel {}",
                        target(), kernel));
}

int32_t Device::fail(int32_t code, Error error) {
  if (!failure)
    failure = std::move(error);
  return code;
}

Status Device::runEntry(const Module &module, int entry, const qrt_call &call) {
  current = &module;
  failure.reset();
  int32_t code = module.entry(entry)(context(), &call);
  current = nullptr;
  if (code == QRT_E_OK && !failure)
    return Status::success();
  const std::string &name = module.manifest().entries[entry].name;
  if (failure)
    return makeError(failure->code, failure->where, "entry point '{}': {}",
                     name, failure->message);
  return makeError(6031, "", "entry point '{}' failed with code {}{}", name,
                   code,
                   code == QRT_E_COLLECTIVE ? " (a collective failed)" : "");
}

DeviceBuffer Device::makeBuffer(char *base, int64_t bytes,
                                std::shared_ptr<void> owner) {
  allocated += bytes;
  peak = std::max(peak, allocated);
  // The count goes down with the memory.
  auto counted = std::shared_ptr<void>(
      base, [this, bytes, owner = std::move(owner)](void *) mutable {
        owner.reset();
        allocated -= bytes;
      });
  return DeviceBuffer(base, bytes, std::move(counted));
}

Expected<DeviceBuffer> Device::allocateOnHost(int64_t bytes,
                                              const std::string &purpose) {
  auto buffer = std::make_shared<Buffer>();
  QRT_ASSIGN_OR_RETURN(*buffer, Buffer::allocate(bytes, purpose));
  char *base = buffer->data();
  return makeBuffer(base, bytes, std::move(buffer));
}

//===----------------------------------------------------------------------===//
// The host as a device
//===----------------------------------------------------------------------===//

Expected<std::unique_ptr<CpuDevice>> CpuDevice::create(int threads) {
  // Asks for AMX before the first thread exists; threads inherit the
  // permission.
  hostCpuFeatures();
  try {
    return std::unique_ptr<CpuDevice>(new CpuDevice(threads));
  } catch (const std::exception &error) {
    return makeError(6021, "", "cannot start {} threads: {}", threads,
                     error.what());
  }
}

Expected<DeviceBuffer> CpuDevice::allocate(int64_t bytes,
                                           const std::string &purpose) {
  return allocateOnHost(bytes, purpose);
}

Status CpuDevice::upload(void *to, const void *from, int64_t bytes) {
  std::memcpy(to, from, bytes);
  return Status::success();
}

Status CpuDevice::download(void *to, const void *from, int64_t bytes) {
  std::memcpy(to, from, bytes);
  return Status::success();
}

Status CpuDevice::zero(void *at, int64_t bytes) {
  std::memset(at, 0, bytes);
  return Status::success();
}

Status CpuDevice::load(const Module &module) {
  int64_t bytes = module.target().workerScratchBytes;
  if (bytes <= scratchBytes)
    return Status::success();
  // A page between neighbours keeps prefetchers of one worker out of the
  // other's lines.
  int64_t stride = alignUp(bytes, 4096) + 4096;
  QRT_ASSIGN_OR_RETURN(scratch, Buffer::allocate(stride * pool().threads(),
                                                 "the scratch of the threads"));
  scratchBytes = bytes;
  pool().setScratch(scratch.data(), stride);
  return Status::success();
}

//===----------------------------------------------------------------------===//
// Choosing devices
//===----------------------------------------------------------------------===//

Expected<DeviceSpec>
qrt::parseDeviceSpec(std::string_view text,
                     const std::vector<std::string> &kinds) {
  DeviceSpec spec;
  size_t colon = text.find(':');
  spec.kind = text.substr(0, colon);
  if (std::find(kinds.begin(), kinds.end(), spec.kind) == kinds.end())
    return makeError(7002, "", "unknown device '{}' (there are {}){}", text,
                     fmt::join(kinds, ", "), didYouMean(spec.kind, kinds));
  if (colon == std::string_view::npos)
    return spec;
  std::string_view digits = text.substr(colon + 1);
  bool isNumber = !digits.empty() && digits.size() <= 4 &&
                  digits.find_first_not_of("0123456789") == digits.npos;
  if (spec.kind != "cuda" || !isNumber)
    return makeError(7002, "",
                     "unknown device '{}': only devices of kind cuda have "
                     "numbers, as in cuda:0",
                     text);
  spec.index = std::stoi(std::string(digits));
  return spec;
}

int qrt::threadsPerDevice(int threads, int devices) {
  if (threads <= 0)
    threads = availableProcessors();
  return std::max(1, threads / std::max(devices, 1));
}
