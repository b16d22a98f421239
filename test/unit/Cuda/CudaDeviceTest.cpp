//===- CudaDeviceTest.cpp - Tests of GPUs, with a double of the driver ----===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/CudaDevice.h"
#include "runtime/core/HostState.h"
#include "runtime/core/Session.h"
#include "test/unit/Cuda/FakeDriver.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

using namespace qrt;

namespace {

constexpr int64_t kBatch = 4, kSequence = 8, kVocab = 16;
// Of the kernels of TestModule.c.
constexpr size_t kMaxSlots = 24;

/// Every test is a process of its own to the driver.
class Cuda : public testing::Test {
protected:
  void SetUp() override { fakeCudaReset(); }
  void TearDown() override {
    EXPECT_EQ(fakeCudaViolations(), "");
    unsetenv("FAKE_CUDA");
  }

  /// What the double does from now on (see FakeDriver.cpp).
  static void behave(const char *options) { setenv("FAKE_CUDA", options, 1); }

  static Expected<std::unique_ptr<CudaDevice>> open(bool graphs = true,
                                                    bool synchronous = false) {
    CudaOptions options;
    options.library = FAKE_CUDA_DRIVER;
    options.graphs = graphs;
    options.synchronous = synchronous;
    return CudaDevice::create(options);
  }

  static std::shared_ptr<const Module> openModule(const char *path,
                                                  const char *target) {
    auto module = Module::open(path, target);
    EXPECT_TRUE(module) << module.error().str();
    return module ? *module : nullptr;
  }

  /// Lets the kernels of the test module do what its entries for the CPU do.
  void registerKernels(const char *path) {
    cpuModule = openModule(path, "cpu");
    cpu = std::move(*CpuDevice::create(1));
    ASSERT_TRUE(cpu->load(*cpuModule));
    const Manifest &manifest = cpuModule->manifest();
    for (size_t i = 0; i < manifest.entries.size(); ++i)
      fakeCudaRegister(
          manifest.entries[i].name.c_str(),
          [this, i](const FakeLaunch &launch) {
            std::vector<void *> args;
            for (size_t slot = 0; slot < kMaxSlots; ++slot)
              args.push_back(reinterpret_cast<void *>(launch.params[slot]));
            int64_t extents[] = {int64_t(launch.params[kMaxSlots]),
                                 int64_t(launch.params[kMaxSlots + 1])};
            qrt_call call{args.data(), extents,
                          reinterpret_cast<void *>(launch.params.back())};
            EXPECT_TRUE(cpu->call(*cpuModule, int(i), call));
          });
  }

  std::shared_ptr<const Module> cpuModule;
  std::unique_ptr<CpuDevice> cpu;
};

/// Trains some steps of two micro steps each, which change their input while
/// the device may still work; the losses, then all masters.
std::vector<float> train(const std::shared_ptr<const Module> &module,
                         Device &device, int steps = 6) {
  auto session = Session::create(
      module, device, {"micro_step", "optimizer_step", "convert_storage"});
  EXPECT_TRUE(session) << session.error().str();
  auto writer = StateWriter::create(**session, "parameter.master");
  EXPECT_TRUE(writer);
  for (int p = 0; p < 3; ++p) {
    auto *values = writer->hostAddress(
        static_cast<float *>((*session)->parameter(p, "master")));
    for (int64_t i = 0; i < module->manifest().parameters[p].elements(); ++i)
      values[i] = std::sin(float(i * (p + 3)) * 0.7f);
  }
  EXPECT_TRUE(writer->finish());
  EXPECT_TRUE((*session)->convertStorages());
  std::vector<int32_t> tokens(kBatch * kSequence), targets(tokens.size());
  float inverse = 0.5f / float(tokens.size()), norm = 0;
  int32_t skip = 0, nonfinite = 0;
  auto micro = (*session)->prepare("micro_step");
  auto update = (*session)->prepare("optimizer_step");
  EXPECT_TRUE(micro && update);
  micro->bindInput("tokens", tokens.data());
  micro->bindInput("targets", targets.data());
  micro->bindInput("inv_count", &inverse);
  update->bindInput("skip", &skip);
  update->bindOutput("grad_norm", &norm);
  update->bindOutput("nonfinite", &nonfinite);
  std::vector<float> result(2 * steps);
  for (int t = 0; t < 2 * steps; ++t) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = int32_t((i * 5 + t) % kVocab);
      targets[i] = int32_t((i * 5 + t + 5) % kVocab);
    }
    micro->bindOutput("loss", &result[t]);
    auto started = micro->start();
    EXPECT_TRUE(started) << started.error().str();
    if (t % 2 == 0)
      continue;
    float hyper[16];
    for (int g = 0; g < 2; ++g) {
      float values[] = {0.1f,         0.9f, 0.95f, 1e-8f,
                        g ? 0 : 0.1f, 1.0f, 0.19f, 0.1f};
      std::memcpy(hyper + 8 * g, values, sizeof values);
    }
    update->bindInput("hyper", hyper);
    auto updated = update->run();
    EXPECT_TRUE(updated) << updated.error().str();
    EXPECT_GT(norm, 0);
    EXPECT_EQ(nonfinite, 0);
  }
  StateReader reader(**session);
  for (int p = 0; p < 3; ++p) {
    int64_t count = module->manifest().parameters[p].elements();
    auto values = reader.read(
        static_cast<float *>((*session)->parameter(p, "master")), count);
    EXPECT_TRUE(values);
    if (values)
      result.insert(result.end(), *values, *values + count);
  }
  return result;
}

TEST_F(Cuda, TrainsAsTheCpuDoes) {
  for (const char *path : {TEST_MODULE_CUDA, TEST_MODULE_CUBIN})
    for (bool graphs : {true, false}) {
      registerKernels(path);
      auto expected = train(cpuModule, *cpu);
      auto device = open(graphs);
      ASSERT_TRUE(device) << device.error().str();
      EXPECT_EQ((*device)->name(), "cuda:0 (Fake GPU 0)");
      auto result = train(openModule(path, "cuda"), **device);
      EXPECT_EQ(result, expected);
      EXPECT_NE(result[0], result[1]);
      EXPECT_EQ((*device)->allocatedBytes(), 0);
      // One for each entry that was called again.
      EXPECT_EQ((*device)->graphCount(), graphs ? 2 : 0);
      EXPECT_TRUE((*device)->takeNotes().empty());
    }
}

TEST_F(Cuda, AStepWaitsForTheDeviceOnce) {
  registerKernels(TEST_MODULE_CUDA);
  auto device = open();
  ASSERT_TRUE(device);
  auto module = openModule(TEST_MODULE_CUDA, "cuda");
  train(module, **device, 4);
  int few = fakeCudaCalls("cuStreamSynchronize");
  int launches = fakeCudaCalls("cuLaunchKernel");
  train(module, **device, 14);
  // Ten steps more, twenty micro steps.
  EXPECT_EQ(fakeCudaCalls("cuStreamSynchronize") - 2 * few, 10);
  // Replays launch no kernels: the first call of each entry and its capture do.
  EXPECT_EQ(launches, 4);
}

TEST_F(Cuda, ShortCallsHaveGraphsOfTheirOwn) {
  registerKernels(TEST_MODULE_CUDA);
  auto device = open();
  ASSERT_TRUE(device);
  auto session = Session::create(openModule(TEST_MODULE_CUDA, "cuda"), **device,
                                 {"logits", "prefill", "decode"});
  ASSERT_TRUE(session) << session.error().str();
  auto writer = StateWriter::create(**session, "parameter.");
  ASSERT_TRUE(writer);
  auto *table = writer->hostAddress(
      static_cast<float *>((*session)->parameter(0, "compute")));
  for (int i = 0; i < kVocab * kVocab; ++i)
    table[i] = float(i);
  ASSERT_TRUE(writer->finish());
  auto call = (*session)->prepare("logits");
  ASSERT_TRUE(call);
  int32_t tokens[kBatch * kSequence];
  for (int round = 0; round < 3; ++round)
    for (int64_t rows : {1, 3})
      for (int64_t length : {1, 5, 8}) {
        for (int i = 0; i < kBatch * kSequence; ++i)
          tokens[i] = (i * 3 + round) % kVocab;
        std::vector<float> logits(rows * length * kVocab, -1);
        call->bindInput("tokens", tokens);
        call->bindOutput("logits", logits.data());
        call->setExtent("batch", rows);
        call->setExtent("sequence", length);
        ASSERT_TRUE(call->run());
        for (int64_t i = 0; i < rows * length; ++i)
          EXPECT_EQ(logits[i * kVocab + 2], float(tokens[i] * kVocab + 2));
      }
  EXPECT_EQ((*device)->graphCount(), 6);
}

TEST_F(Cuda, LargeCopiesGoInPieces) {
  auto device = open();
  ASSERT_TRUE(device);
  int64_t bytes = (int64_t(70) << 20) + 3;
  auto buffer = (*device)->allocate(bytes, "a test");
  ASSERT_TRUE(buffer);
  std::string sent(bytes, 0), received(bytes, 1);
  ASSERT_TRUE((*device)->download(received.data(), buffer->data(), bytes));
  ASSERT_TRUE((*device)->synchronize());
  EXPECT_TRUE(sent == received) << "memory is cleared";
  for (int64_t i = 0; i < bytes; ++i)
    sent[i] = char(i * 7 + i / 4096);
  std::string copy = sent;
  ASSERT_TRUE((*device)->upload(buffer->data(), sent.data(), bytes));
  std::fill(sent.begin(), sent.end(), 0);
  ASSERT_TRUE((*device)->download(received.data(), buffer->data(), bytes));
  ASSERT_TRUE((*device)->synchronize());
  EXPECT_TRUE(received == copy);
}

TEST_F(Cuda, MetricsTellTheMemory) {
  auto device = open();
  ASSERT_TRUE(device);
  {
    auto buffer = (*device)->allocate(3 << 20, "a test");
    ASSERT_TRUE(buffer);
    auto metrics = (*device)->metrics();
    EXPECT_EQ(metrics["gpu/memory_allocated_mb"], 3.0);
    EXPECT_EQ(metrics["gpu/memory_reserved_mb"], 3.0);
    ASSERT_TRUE(metrics.count("gpu/utilization_percent"));
  }
  auto metrics = (*device)->metrics();
  EXPECT_EQ(metrics["gpu/memory_allocated_mb"], 0.0);
  EXPECT_EQ(metrics["gpu/memory_peak_mb"], 3.0);
}

//===----------------------------------------------------------------------===//
// What can be wrong
//===----------------------------------------------------------------------===//

/// The error has this code and all these parts.
void expectError(const Error &error, int code,
                 const std::vector<std::string> &parts) {
  EXPECT_EQ(error.code, code) << error.str();
  for (const std::string &part : parts)
    EXPECT_NE(error.str().find(part), std::string::npos) << error.str();
}

TEST_F(Cuda, WithoutADriver) {
  CudaOptions options;
  options.library = "libcuda-is-not-here.so.1";
  auto device = CudaDevice::create(options);
  ASSERT_FALSE(device);
  expectError(device.error(), 6050, {"no NVIDIA driver", "--device cpu"});
}

TEST_F(Cuda, WithoutAGpu) {
  behave("devices=0");
  auto none = open();
  ASSERT_FALSE(none);
  expectError(none.error(), 6050, {"no NVIDIA GPU", "--device cpu"});
  fakeCudaReset();
  behave("devices=2");
  CudaOptions options;
  options.library = FAKE_CUDA_DRIVER;
  options.index = 2;
  auto third = CudaDevice::create(options);
  ASSERT_FALSE(third);
  expectError(third.error(), 6050, {"no cuda:2", "has 2 GPUs"});
  fakeCudaReset();
  behave("fail=cuInit:100");
  auto broken = open();
  ASSERT_FALSE(broken);
  expectError(broken.error(), 6050, {"CUDA_ERROR_NO_DEVICE", "nvidia-smi"});
}

TEST_F(Cuda, TooLittleMemory) {
  behave("memory=8192");
  auto device = open();
  ASSERT_TRUE(device);
  auto session = Session::create(openModule(TEST_MODULE_CUDA, "cuda"), **device,
                                 {"micro_step", "optimizer_step"});
  ASSERT_FALSE(session);
  expectError(session.error(), 6001,
              {"cuda:0 (Fake GPU 0)", "8.0 KiB are free", "arena"});
  EXPECT_EQ(fakeCudaCalls("cuMemAlloc_v2"), 0);
}

TEST_F(Cuda, AnotherGpuRunsThePortableCodeAndSaysSo) {
  for (const char *arch : {"arch=89", "arch=100"}) {
    fakeCudaReset();
    behave(arch);
    registerKernels(TEST_MODULE_CUDA);
    auto device = open();
    ASSERT_TRUE(device);
    auto result = train(openModule(TEST_MODULE_CUDA, "cuda"), **device);
    EXPECT_EQ(result, train(cpuModule, *cpu));
    auto notes = (*device)->takeNotes();
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find("portable code (sm_80 PTX)"), std::string::npos)
        << notes[0];
  }
}

TEST_F(Cuda, AnOlderGpuIsRefused) {
  behave("arch=75");
  auto device = open();
  ASSERT_TRUE(device);
  auto status = (*device)->load(*openModule(TEST_MODULE_CUDA, "cuda"));
  ASSERT_FALSE(status);
  expectError(status.error(), 6051,
              {"compute capability 7.5", "sm_90a PTX", "--gpu-arch sm_75"});
}

TEST_F(Cuda, SerialisedTensorCoreCodeIsNotRun) {
  behave("jitlog=ptxas info: (C7512) wgmma serialized");
  registerKernels(TEST_MODULE_CUDA);
  auto device = open();
  ASSERT_TRUE(device);
  train(openModule(TEST_MODULE_CUDA, "cuda"), **device);
  // The portable code does instead.
  auto notes = (*device)->takeNotes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("sm_80 PTX"), std::string::npos) << notes[0];
}

TEST_F(Cuda, AModuleWithoutGpuCode) {
  auto module = Module::open(TEST_MODULE_F32, "cuda");
  ASSERT_FALSE(module);
  expectError(module.error(), 6015, {"no code for target cuda", "has cpu"});
}

TEST_F(Cuda, ALaunchThatFailsNamesTheKernelAndItsPlace) {
  behave("fail=cuLaunchKernel:701");
  registerKernels(TEST_MODULE_CUDA);
  auto device = open();
  ASSERT_TRUE(device);
  auto session = Session::create(openModule(TEST_MODULE_CUDA, "cuda"), **device,
                                 {"micro_step"});
  ASSERT_TRUE(session);
  auto call = (*session)->prepare("micro_step");
  int32_t ids[kBatch * kSequence] = {};
  float inverse = 1, loss = 0;
  call->bindInput("tokens", ids);
  call->bindInput("targets", ids);
  call->bindInput("inv_count", &inverse);
  call->bindOutput("loss", &loss);
  auto status = call->run();
  ASSERT_FALSE(status);
  expectError(status.error(), 6052,
              {"entry point 'micro_step'", "kernel 'micro_step'",
               "test.yaml:3:5", "1 x 1 x 1", "OUT_OF_RESOURCES"});
}

TEST_F(Cuda, AKernelThatFailsLaterEndsEverythingWithAnError) {
  for (const char *code : {"crash=micro_step:700", "crash=micro_step:214"})
    for (bool synchronous : {false, true}) {
      fakeCudaReset();
      behave(code);
      registerKernels(TEST_MODULE_CUDA);
      auto device = open(true, synchronous);
      ASSERT_TRUE(device);
      auto session = Session::create(openModule(TEST_MODULE_CUDA, "cuda"),
                                     **device, {"micro_step"});
      ASSERT_TRUE(session);
      auto call = (*session)->prepare("micro_step");
      int32_t ids[kBatch * kSequence] = {};
      float inverse = 1, loss = 0;
      call->bindInput("tokens", ids);
      call->bindInput("targets", ids);
      call->bindInput("inv_count", &inverse);
      call->bindOutput("loss", &loss);
      auto status = call->run();
      ASSERT_FALSE(status);
      expectError(status.error(), 6052,
                  {code[17] == '7' ? "ILLEGAL_ADDRESS" : "ECC_UNCORRECTABLE",
                   synchronous ? "kernel 'micro_step' of test.yaml:3:5"
                               : "QWEN_CUDA_SYNC=1"});
      EXPECT_FALSE(call->run());
      // State cannot be read any more, and that is an error too.
      StateReader reader(**session);
      EXPECT_FALSE(reader.read((*session)->gradient(0), 4));
    }
}

TEST_F(Cuda, EveryFailureOfTheDriverIsAnError) {
  // One after the other, everything fails once; nothing may crash or be called
  // wrongly, and the training is either right or an error.
  for (const char *symbol :
       {"cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName",
        "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain", "cuStreamCreate",
        "cuMemHostAlloc", "cuMemGetInfo_v2", "cuMemAlloc_v2", "cuMemsetD8Async",
        "cuModuleGetFunction", "cuFuncSetAttribute", "cuMemcpyHtoDAsync_v2",
        "cuMemcpyDtoHAsync_v2", "cuEventCreate", "cuEventRecord",
        "cuGraphLaunch", "cuStreamSynchronize"}) {
    fakeCudaReset();
    behave((std::string("fail=") + symbol + ":1@1").c_str());
    registerKernels(TEST_MODULE_CUDA);
    bool failed = false;
    {
      auto device = open();
      failed = !device;
      if (device) {
        auto session = Session::create(openModule(TEST_MODULE_CUDA, "cuda"),
                                       **device, {"logits", "optimizer_step"});
        failed = !session;
        if (session) {
          auto call = (*session)->prepare("logits");
          int32_t ids[kBatch * kSequence] = {};
          std::vector<float> logits(kBatch * kSequence * kVocab);
          call->bindInput("tokens", ids);
          call->bindOutput("logits", logits.data());
          for (int i = 0; i < 3; ++i)
            failed |= !call->run();
        }
      }
    }
    EXPECT_TRUE(failed) << symbol;
  }
}

TEST_F(Cuda, WhatCannotBeCapturedRunsAllTheSame) {
  for (const char *symbol :
       {"cuStreamBeginCapture_v2", "cuGraphInstantiateWithFlags"}) {
    fakeCudaReset();
    behave((std::string("fail=") + symbol + ":1").c_str());
    registerKernels(TEST_MODULE_CUDA);
    auto device = open();
    ASSERT_TRUE(device);
    EXPECT_EQ(train(openModule(TEST_MODULE_CUDA, "cuda"), **device),
              train(cpuModule, *cpu));
    EXPECT_EQ((*device)->graphCount(), 0);
  }
}

} // namespace
