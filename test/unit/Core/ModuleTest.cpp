//===- ModuleTest.cpp - Tests of loading and calling modules ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/HostState.h"
#include "runtime/core/Session.h"
#include "runtime/cpu/CpuFeatures.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <gtest/gtest.h>

using namespace qrt;

namespace {

constexpr int64_t kVocab = 16, kBatch = 4, kSequence = 8;

std::shared_ptr<const Module> openModule(const char *path) {
  auto module = Module::open(path);
  EXPECT_TRUE(module) << module.error().str();
  return module ? *module : nullptr;
}

/// A device with memory of its own: what it is asked to copy to the host comes
/// only when it is synchronised, and its addresses are checked.
class RemoteDevice : public Device {
public:
  explicit RemoteDevice(int threads) : Device(threads) {}
  std::string_view target() const override { return "cpu"; }
  std::string name() const override { return "remote"; }
  bool sharesHostMemory() const override { return false; }
  Expected<DeviceBuffer> allocate(int64_t bytes,
                                  const std::string &purpose) override {
    auto buffer = allocateOnHost(bytes, purpose);
    if (buffer)
      ranges.emplace_back(buffer->data(), buffer->data() + bytes);
    return buffer;
  }
  Expected<std::optional<int64_t>> availableBytes() override { return limit; }
  Status upload(void *to, const void *from, int64_t bytes) override {
    EXPECT_TRUE(isMine(to, bytes) && !isMine(from, 1));
    std::memcpy(to, from, bytes);
    return Status::success();
  }
  Status download(void *to, const void *from, int64_t bytes) override {
    EXPECT_TRUE(isMine(from, bytes) && !isMine(to, 1));
    auto *begin = static_cast<const char *>(from);
    pending.push_back({to, std::string(begin, begin + bytes)});
    return Status::success();
  }
  Status zero(void *at, int64_t bytes) override {
    EXPECT_TRUE(isMine(at, bytes));
    std::memset(at, 0, bytes);
    return Status::success();
  }
  Status synchronize() override {
    for (auto &[to, bytes] : pending)
      std::memcpy(to, bytes.data(), bytes.size());
    pending.clear();
    return Status::success();
  }
  Status load(const Module &module) override {
    scratch.resize(4096);
    pool().setScratch(scratch.data(), 64);
    EXPECT_LE(module.target().workerScratchBytes, 64);
    return Status::success();
  }
  Status call(const Module &module, int entry, const qrt_call &call) override {
    for (int64_t i = 0; i < module.manifest().entries[entry].slots; ++i)
      EXPECT_TRUE(isMine(call.args[i], 1));
    return Device::call(module, entry, call);
  }
  std::optional<int64_t> limit;

private:
  bool isMine(const void *address, int64_t bytes) const {
    auto *at = static_cast<const char *>(address);
    for (auto &[begin, end] : ranges)
      if (at >= begin && at + bytes <= end)
        return true;
    return false;
  }
  std::vector<std::pair<char *, char *>> ranges;
  std::vector<std::pair<void *, std::string>> pending;
  std::vector<float> scratch;
};

/// Fills the masters with small numbers that differ everywhere.
void fill(Session &session) {
  auto writer = StateWriter::create(session, "parameter.master");
  ASSERT_TRUE(writer);
  for (int p = 0; p < 3; ++p) {
    auto *values = writer->hostAddress(
        static_cast<float *>(session.parameter(p, "master")));
    int64_t n = session.manifest().parameters[p].elements();
    for (int64_t i = 0; i < n; ++i)
      values[i] = std::sin(float(i * (p + 3)) * 0.7f);
  }
  ASSERT_TRUE(writer->finish());
  auto status = session.convertStorages();
  EXPECT_TRUE(status) << status.error().str();
}

/// Trains some steps; the losses, then all masters.
std::vector<float> train(const std::shared_ptr<const Module> &module,
                         Device &device) {
  auto session = Session::create(
      module, device, {"micro_step", "optimizer_step", "convert_storage"});
  EXPECT_TRUE(session) << session.error().str();
  fill(**session);
  std::vector<int32_t> tokens(kBatch * kSequence), targets(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>(i * 5 % kVocab);
    targets[i] = static_cast<int32_t>((i * 5 + 5) % kVocab);
  }
  float inverse = 1.0f / float(tokens.size()), loss = 0, norm = 0;
  int32_t skip = 0, nonfinite = 0;
  auto step = (*session)->prepare("micro_step");
  auto update = (*session)->prepare("optimizer_step");
  EXPECT_TRUE(step && update);
  step->bindInput("tokens", tokens.data());
  step->bindInput("targets", targets.data());
  step->bindInput("inv_count", &inverse);
  step->bindOutput("loss", &loss);
  std::vector<float> result;
  for (int t = 1; t <= 10; ++t) {
    EXPECT_TRUE(step->run());
    float hyper[16];
    for (int g = 0; g < 2; ++g) {
      float values[] = {0.1f,
                        0.9f,
                        0.95f,
                        1e-8f,
                        g ? 0 : 0.1f,
                        1.0f,
                        1 - std::pow(0.9f, float(t)),
                        1 - std::pow(0.95f, float(t))};
      std::memcpy(hyper + 8 * g, values, sizeof values);
    }
    update->bindInput("hyper", hyper);
    update->bindInput("skip", &skip);
    update->bindOutput("grad_norm", &norm);
    update->bindOutput("nonfinite", &nonfinite);
    EXPECT_TRUE(update->run());
    EXPECT_EQ(nonfinite, 0);
    EXPECT_GT(norm, 0);
    result.push_back(loss * inverse);
  }
  StateReader reader(**session);
  for (int p = 0; p < 3; ++p) {
    int64_t count = module->manifest().parameters[p].elements();
    auto values = reader.read(
        static_cast<float *>((*session)->parameter(p, "master")), count);
    EXPECT_TRUE(values);
    result.insert(result.end(), *values, *values + count);
  }
  return result;
}

std::vector<float> train(const std::shared_ptr<const Module> &module,
                         int threads) {
  auto device = CpuDevice::create(threads);
  EXPECT_TRUE(device);
  return train(module, **device);
}

TEST(Module, TrainsWithTheSameBitsOnAnyNumberOfThreads) {
  for (const char *path : {TEST_MODULE_F32, TEST_MODULE_BF16}) {
    auto module = openModule(path);
    ASSERT_TRUE(module);
    auto one = train(module, 1);
    EXPECT_LT(one[9], 0.7f * one[0]);
    for (int threads : {2, 3})
      EXPECT_EQ(one, train(module, threads));
  }
}

TEST(Module, TrainsOnADeviceWithMemoryOfItsOwn) {
  for (const char *path : {TEST_MODULE_F32, TEST_MODULE_BF16}) {
    auto module = openModule(path);
    ASSERT_TRUE(module);
    RemoteDevice device(1);
    EXPECT_EQ(train(module, device), train(module, 1));
    EXPECT_EQ(device.allocatedBytes(), 0);
    EXPECT_GT(device.peakBytes(), 0);
  }
}

TEST(Module, OutputsOfStartedCallsComeWithSynchronize) {
  RemoteDevice device(1);
  auto session = Session::create(openModule(TEST_MODULE_F32), device,
                                 {"logits", "optimizer_step"});
  ASSERT_TRUE(session);
  fill(**session);
  auto call = (*session)->prepare("logits");
  ASSERT_TRUE(call);
  call->setExtent("batch", 1);
  call->setExtent("sequence", 1);
  int32_t token = 3;
  std::vector<float> first(kVocab, -1), second(kVocab, -1);
  call->bindInput("tokens", &token);
  call->bindOutput("logits", first.data());
  ASSERT_TRUE(call->start());
  token = 4;
  call->bindOutput("logits", second.data());
  ASSERT_TRUE(call->start());
  EXPECT_EQ(first[0], -1);
  ASSERT_TRUE((*session)->synchronize());
  EXPECT_NE(first[0], -1);
  EXPECT_NE(first, second);
}

TEST(Module, TooLittleMemoryIsRefusedBeforeAnyIsAllocated) {
  RemoteDevice device(1);
  device.limit = 4096;
  auto session = Session::create(openModule(TEST_MODULE_F32), device,
                                 {"micro_step", "optimizer_step"});
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, 6001);
  for (const char *part : {"remote", "4.0 KiB", "arena", "moment1 "})
    EXPECT_NE(session.error().message.find(part), std::string::npos)
        << session.error().message;
  EXPECT_EQ(device.peakBytes(), 0);
}

/// Trains any module some steps on its own device; the losses, then the bytes
/// of all masters.
std::string trainAny(const std::shared_ptr<const Module> &module) {
  const Manifest &manifest = module->manifest();
  std::vector<std::string> entries = {"micro_step", "optimizer_step"};
  if (manifest.findEntry("convert_storage") >= 0)
    entries.push_back("convert_storage");
  auto device = CpuDevice::create(2);
  auto session = Session::create(module, **device, entries);
  EXPECT_TRUE(session) << session.error().str();
  for (size_t p = 0; p < manifest.parameters.size(); ++p) {
    auto *values =
        static_cast<float *>((*session)->parameter(int(p), "master"));
    for (int64_t i = 0; i < manifest.parameters[p].elements(); ++i)
      values[i] = 0.05f * float((i * 7919 + int64_t(p)) % 41 - 20);
  }
  EXPECT_TRUE((*session)->convertStorages());
  auto step = (*session)->prepare("micro_step");
  auto update = (*session)->prepare("optimizer_step");
  EXPECT_TRUE(step && update);
  int64_t size =
      step->info().maxExtent("batch") * step->info().maxExtent("sequence");
  std::vector<int32_t> tokens(size + 1);
  for (int64_t i = 0; i <= size; ++i)
    tokens[i] = static_cast<int32_t>(i * i % manifest.vocab());
  float inverse = 1.0f / float(size), loss = 0, norm = 0;
  int32_t skip = 0, nonfinite = 0;
  std::vector<float> hyper;
  for (int64_t g = 0; g < manifest.groupCount(); ++g)
    hyper.insert(hyper.end(),
                 {1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 1.0f, 0.1f, 0.05f});
  step->bindInput("tokens", tokens.data());
  step->bindInput("targets", tokens.data() + 1);
  step->bindInput("inv_count", &inverse);
  step->bindOutput("loss", &loss);
  update->bindInput("hyper", hyper.data());
  update->bindInput("skip", &skip);
  update->bindOutput("grad_norm", &norm);
  update->bindOutput("nonfinite", &nonfinite);
  std::string result;
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(step->run());
    EXPECT_TRUE(update->run());
    EXPECT_TRUE(std::isfinite(loss) && norm > 0 && nonfinite == 0);
    result.append(reinterpret_cast<char *>(&loss), sizeof loss);
  }
  for (size_t p = 0; p < manifest.parameters.size(); ++p)
    result.append(static_cast<char *>((*session)->parameter(int(p), "master")),
                  manifest.parameters[p].elements() * sizeof(float));
  return result;
}

/// QWEN_TEST_MODULE names another module than the hand-written one.
TEST(Module, TwoDevicesInOneProcess) {
  const char *path = std::getenv("QWEN_TEST_MODULE");
  auto module = openModule(path ? path : TEST_MODULE_F32);
  ASSERT_TRUE(module);
  std::string alone = trainAny(module);
  std::string results[2];
  std::thread other([&] { results[1] = trainAny(module); });
  results[0] = trainAny(module);
  other.join();
  EXPECT_TRUE(results[0] == alone);
  EXPECT_TRUE(results[1] == alone);
}

TEST(Module, StoragesOfOneTypeAreOneMemory) {
  auto device = CpuDevice::create(1);
  auto f32 = Session::create(openModule(TEST_MODULE_F32), **device,
                             {"micro_step", "optimizer_step"});
  ASSERT_TRUE(f32);
  EXPECT_TRUE((*f32)->parameter(0, "master"));
  EXPECT_EQ((*f32)->parameter(0, "master"), (*f32)->parameter(0, "compute"));
  auto bf16 = Session::create(openModule(TEST_MODULE_BF16), **device,
                              {"micro_step", "optimizer_step"});
  ASSERT_TRUE(bf16);
  EXPECT_NE((*bf16)->parameter(0, "master"), (*bf16)->parameter(0, "compute"));
  // Only what is used is allocated.
  auto infer =
      Session::create(openModule(TEST_MODULE_BF16), **device, {"logits"});
  ASSERT_TRUE(infer);
  EXPECT_FALSE((*infer)->parameter(0, "master"));
  EXPECT_TRUE((*infer)->parameter(0, "compute"));
  EXPECT_FALSE((*infer)->gradient(0));
}

TEST(Module, CallsAreChecked) {
  auto device = CpuDevice::create(1);
  auto session =
      Session::create(openModule(TEST_MODULE_F32), **device, {"logits"});
  ASSERT_TRUE(session);
  auto call = (*session)->prepare("logits");
  ASSERT_TRUE(call);
  auto unbound = call->run();
  ASSERT_FALSE(unbound);
  EXPECT_NE(unbound.error().message.find("needs the input 'tokens'"),
            std::string::npos);
  call->setExtent("batch", kBatch + 1);
  auto tooLarge = call->run();
  ASSERT_FALSE(tooLarge);
  EXPECT_NE(tooLarge.error().message.find("batch is 5"), std::string::npos);
  auto unknown = (*session)->prepare("logit");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("did you mean 'logits'"),
            std::string::npos);
}

TEST(Module, SmallerExtentsGiveTheSameLogits) {
  auto device = CpuDevice::create(2);
  auto session =
      Session::create(openModule(TEST_MODULE_F32), **device,
                      {"logits", "optimizer_step", "convert_storage"});
  ASSERT_TRUE(session);
  fill(**session);
  int32_t tokens[] = {3, 1, 4, 1, 5, 9, 2, 6};
  std::vector<float> whole(8 * kVocab), part(3 * kVocab);
  auto call = (*session)->prepare("logits");
  ASSERT_TRUE(call);
  call->bindInput("tokens", tokens);
  call->setExtent("batch", 1);
  call->bindOutput("logits", whole.data());
  ASSERT_TRUE(call->run());
  call->setExtent("sequence", 3);
  call->bindOutput("logits", part.data());
  ASSERT_TRUE(call->run());
  whole.resize(part.size());
  EXPECT_EQ(whole, part);
}

TEST(Module, AnotherAbiIsRefused) {
  auto module = Module::open(TEST_MODULE_NEW_ABI);
  ASSERT_FALSE(module);
  EXPECT_EQ(module.error().code, 6012);
}

TEST(Module, MissingFeaturesAreNamed) {
  TargetInfo target;
  target.target = "cpu";
  target.variants = {{"amx", {"sse2", "amx-tile", "avx512f"}},
                     {"x86-64-v4", {"sse2", "avx512f"}},
                     {"x86-64-v3", {"sse2"}}};
  EXPECT_EQ(*chooseVariant(target, {"sse2", "amx-tile", "avx512f"}, ""), 0u);
  EXPECT_EQ(*chooseVariant(target, {"sse2", "avx512f"}, ""), 1u);
  EXPECT_EQ(*chooseVariant(target, {"sse2"}, ""), 2u);
  target.variants.pop_back();
  auto none = chooseVariant(target, {"sse2"}, "m.so");
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("x86-64-v4 needs avx512f"),
            std::string::npos)
      << none.error().message;
}

TEST(Module, AnotherTargetIsNamed) {
  auto module = Module::open(TEST_MODULE_F32, "cuda");
  ASSERT_FALSE(module);
  EXPECT_EQ(module.error().code, 6015);
  EXPECT_NE(module.error().message.find("no code for target cuda (it has cpu)"),
            std::string::npos)
      << module.error().message;
}

TEST(Device, NamesAreRead) {
  std::vector<std::string> kinds = {"cpu", "cuda"};
  EXPECT_EQ(parseDeviceSpec("cpu", kinds)->kind, "cpu");
  EXPECT_FALSE(parseDeviceSpec("cuda", kinds)->index);
  EXPECT_EQ(*parseDeviceSpec("cuda:12", kinds)->index, 12);
  for (const char *bad :
       {"", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:99999"})
    EXPECT_FALSE(parseDeviceSpec(bad, kinds)) << bad;
  auto typo = parseDeviceSpec("cdua", kinds);
  ASSERT_FALSE(typo);
  EXPECT_NE(typo.error().message.find("did you mean 'cuda'"),
            std::string::npos);
}

TEST(Device, ThreadsAreDivided) {
  EXPECT_EQ(threadsPerDevice(8, 2), 4);
  EXPECT_EQ(threadsPerDevice(1, 4), 1);
  EXPECT_GE(threadsPerDevice(0, 1), 1);
}

} // namespace
