//===- ModuleTest.cpp - Tests of loading and calling modules ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

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

/// Fills the masters with small numbers that differ everywhere.
void fill(Session &session) {
  for (int p = 0; p < 3; ++p) {
    auto *values = static_cast<float *>(session.parameter(p, "master"));
    int64_t n = session.manifest().parameters[p].elements();
    for (int64_t i = 0; i < n; ++i)
      values[i] = std::sin(float(i * (p + 3)) * 0.7f);
  }
  auto status = session.convertStorages();
  EXPECT_TRUE(status) << status.error().str();
}

/// Trains some steps; the losses, then all masters.
std::vector<float> train(const std::shared_ptr<const Module> &module,
                         int threads) {
  auto device = Device::create(threads);
  EXPECT_TRUE(device);
  auto session = Session::create(
      module, **device, {"micro_step", "optimizer_step", "convert_storage"});
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
  for (int p = 0; p < 3; ++p) {
    auto *values = static_cast<float *>((*session)->parameter(p, "master"));
    result.insert(result.end(), values,
                  values + module->manifest().parameters[p].elements());
  }
  return result;
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

/// Trains any module some steps on its own device; the losses, then the bytes
/// of all masters.
std::string trainAny(const std::shared_ptr<const Module> &module) {
  const Manifest &manifest = module->manifest();
  std::vector<std::string> entries = {"micro_step", "optimizer_step"};
  if (manifest.findEntry("convert_storage") >= 0)
    entries.push_back("convert_storage");
  auto device = Device::create(2);
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
  auto device = Device::create(1);
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
  auto device = Device::create(1);
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
  auto device = Device::create(2);
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

TEST(Device, ThreadsAreDivided) {
  EXPECT_EQ(threadsPerDevice(8, 2), 4);
  EXPECT_EQ(threadsPerDevice(1, 4), 1);
  EXPECT_GE(threadsPerDevice(0, 1), 1);
}

} // namespace
