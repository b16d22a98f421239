//===- NcclCheck.cpp - Collectives between GPUs ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   qwen-nccl-check MODULE [one-gpu]      in each process of a job
//
// Runs the collectives of the unit tests on GPUs that a DeviceGroup for
// MODULE's mesh has connected by NCCL. With the double of NCCL, which adds in
// the order of ranks, the results have the bits that threads give. `one-gpu`
// puts all ranks on the first GPU.
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Reduce.h"
#include "runtime/mesh/DeviceGroup.h"
#include "runtime/mesh/Remote.h"
#include "test/unit/Comm/CollectiveCases.h"

#include <cstdio>
#include <cstring>
#include <deque>

using namespace qrt;

namespace {

/// Collectives of the host's memory by those of a device's.
class OnDevice : public Collectives {
public:
  OnDevice(CudaDevice &device, Collectives &collectives, const Mesh &mesh)
      : device(device), collectives(collectives), mesh(mesh) {}

  Status start(const qrt_collective &c, const void *in, void *out) override {
    int64_t size = mesh.group(device.rank(), c.axes).size();
    int64_t width = bytesOf(static_cast<DType>(c.dtype));
    bool isInPlace = in == out;
    Pending p;
    p.out = out;
    p.bytes = outputCount(c, static_cast<int>(size)) * width;
    int64_t inBytes = c.count * width;
    QRT_ASSIGN_OR_RETURN(
        p.input,
        device.allocate(isInPlace ? std::max(inBytes, p.bytes) : inBytes,
                        "a test"));
    if (!isInPlace) {
      QRT_ASSIGN_OR_RETURN(p.output, device.allocate(p.bytes, "a test"));
    }
    QRT_RETURN_IF_ERROR(device.upload(p.input.data(), in, inBytes));
    char *to = isInPlace ? p.input.data() : p.output.data();
    QRT_RETURN_IF_ERROR(collectives.start(c, p.input.data(), to));
    QRT_RETURN_IF_ERROR(device.download(p.out, to, p.bytes));
    queue.push_back(std::move(p));
    return Status::success();
  }
  Status wait() override {
    QRT_RETURN_IF_ERROR(collectives.wait());
    QRT_RETURN_IF_ERROR(device.synchronize());
    queue.pop_front();
    return Status::success();
  }

private:
  struct Pending {
    DeviceBuffer input, output;
    void *out;
    int64_t bytes;
  };
  CudaDevice &device;
  Collectives &collectives;
  const Mesh &mesh;
  std::deque<Pending> queue;
};

Status run(const std::string &self, const char *path, bool oneGpu) {
  QRT_ASSIGN_OR_RETURN(auto module, Module::open(path));
  DeviceGroup::Options options;
  options.gpus = true;
  options.debug = true;
  options.pluginDirectory = self.substr(0, self.rfind('/'));
  options.startTimeout = 60;
  options.stepTimeout = 60;
  options.createDevice = [&](int index,
                             int threads) -> Expected<std::unique_ptr<Device>> {
    CudaOptions cuda;
    cuda.index = oneGpu ? 0 : index;
    cuda.threads = threads;
    QRT_ASSIGN_OR_RETURN(std::unique_ptr<Device> device,
                         CudaDevice::create(cuda));
    return device;
  };
  QRT_ASSIGN_OR_RETURN(auto group,
                       DeviceGroup::create(module, std::move(options)));
  auto &device = static_cast<CudaDevice &>(group->device(0));
  OnDevice collectives(device, *group->gpuCollectives(), group->mesh());
  std::string wrong = test::runCollectiveCases(collectives, group->mesh(),
                                               group->rankOf(0), 5, 2000);
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
    group->control()->abort(1);
  }
  if (!group->isRoot())
    std::exit(serveCommands(*group));
  std::printf("all ranks agree, collectives by %s\n", group->backend().c_str());
  return Status::success();
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2)
    return 2;
  Status status =
      run(argv[0], argv[1], argc > 2 && !std::strcmp(argv[2], "one-gpu"));
  if (!status)
    std::fprintf(stderr, "%s\n", status.error().str().c_str());
  return status ? 0 : 1;
}
