//===- MeshModuleTest.cpp - One model on several meshes -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The hand-written module runs on meshes of threads and must do what it does
// on one device.
//
//===----------------------------------------------------------------------===//

#include "Helpers.h"
#include "runtime/infer/Generator.h"
#include "runtime/train/Trainer.h"
#include "runtime/weights/Checkpoint.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace qrt;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kVocab = 16, kSequence = 8, kBatch = 4;
const char *const kMeshes[] = {"2x4", "1x8", "4x1", "4x8"};

std::string pathOf(const std::string &mesh) {
  if (mesh.empty())
    return TEST_MODULE_F32;
  return std::string(TEST_MODULES) + "/MeshModule" + mesh + ".so";
}

/// A module on its mesh; "" is the one that knows nothing of meshes.
struct Loaded {
  std::unique_ptr<DeviceGroup> devices;
  std::unique_ptr<SessionGroup> session;
};

Loaded load(const std::string &mesh, const std::vector<std::string> &entries,
            const std::string &weights) {
  Loaded result;
  auto module = Module::open(pathOf(mesh));
  EXPECT_TRUE(module) << module.error().str();
  result.devices = test::makeDevices(*module, 1);
  auto session = SessionGroup::create(*result.devices, entries);
  EXPECT_TRUE(session) << session.error().str();
  result.session = std::move(*session);
  auto source = WeightSource::open(weights);
  EXPECT_TRUE(source) << source.error().str();
  auto status = result.session->loadWeights(**source);
  EXPECT_TRUE(status) << status.error().str();
  return result;
}

/// Random rows with some masked targets; the last row has no target at all.
struct Rows {
  std::vector<int32_t> tokens, targets;
  explicit Rows(int64_t rows) {
    for (int64_t i = 0; i < rows * kSequence; ++i) {
      tokens.push_back(static_cast<int32_t>(i * 7 % 5 * i % kVocab));
      bool masked = i % 6 == 1 || i / kSequence == kBatch - 1;
      targets.push_back(masked ? -1 : static_cast<int32_t>(i * 5 % kVocab));
    }
  }
};

struct Step {
  float loss = 0;
  std::vector<std::vector<float>> gradients;
};

Step microStep(SessionGroup &session) {
  Rows rows(kBatch);
  float inverse = 0.05f;
  Step step;
  auto call = session.prepare("micro_step");
  EXPECT_TRUE(call);
  call->bindInput("tokens", rows.tokens.data());
  call->bindInput("targets", rows.targets.data());
  call->bindInput("inv_count", &inverse);
  call->bindOutput("loss", &step.loss);
  EXPECT_EQ(call->info().maxExtent("batch"), kBatch);
  auto status = call->run();
  EXPECT_TRUE(status) << status.error().str();
  const auto &parameters = session.manifest().parameters;
  for (size_t p = 0; p < parameters.size(); ++p)
    for (int64_t layer = 0; layer < parameters[p].layerCount(); ++layer) {
      auto values = session.readState({ArgRole::Gradient, ""}, int(p), layer);
      EXPECT_TRUE(values) << values.error().str();
      step.gradients.emplace_back(*values,
                                  *values + parameters[p].elementsPerLayer());
    }
  return step;
}

TEST(MeshModule, GradientsAreThoseOfOneDevice) {
  Loaded one = load("", {"micro_step"}, "random:5");
  Step want = microStep(*one.session);
  for (const char *mesh : kMeshes) {
    Loaded many = load(mesh, {"micro_step"}, "random:5");
    Step step = microStep(*many.session);
    EXPECT_NEAR(step.loss, want.loss, 1e-5 * want.loss) << mesh;
    ASSERT_EQ(step.gradients.size(), want.gradients.size());
    for (size_t i = 0; i < want.gradients.size(); ++i)
      for (size_t j = 0; j < want.gradients[i].size(); ++j)
        ASSERT_NEAR(step.gradients[i][j], want.gradients[i][j], 1e-6)
            << mesh << " " << i << " " << j;
  }
}

TEST(MeshModule, EvaluationOfAnyNumberOfRows) {
  Loaded one = load("", {"eval_loss", "logits"}, "random:5");
  for (const char *mesh : kMeshes) {
    Loaded many = load(mesh, {"eval_loss", "logits"}, "random:5");
    for (int64_t count = 1; count <= kBatch; ++count) {
      Rows rows(count);
      struct {
        float loss = 0;
        int32_t count = 0, correct = 0;
        std::vector<float> logits;
      } results[2];
      for (int i = 0; i < 2; ++i) {
        auto &result = results[i];
        SessionGroup &session = *(i ? many : one).session;
        auto call = session.prepare("eval_loss");
        call->bindInput("tokens", rows.tokens.data());
        call->bindInput("targets", rows.targets.data());
        call->bindOutput("loss", &result.loss);
        call->bindOutput("count", &result.count);
        call->bindOutput("correct", &result.correct);
        call->setExtent("batch", count);
        auto status = call->run();
        ASSERT_TRUE(status) << status.error().str();
        auto logits = session.prepare("logits");
        result.logits.resize(count * kSequence * kVocab);
        logits->bindInput("tokens", rows.tokens.data());
        logits->bindOutput("logits", result.logits.data());
        logits->setExtent("batch", count);
        ASSERT_TRUE(logits->run());
      }
      EXPECT_NEAR(results[1].loss, results[0].loss, 1e-4);
      EXPECT_EQ(results[1].count, results[0].count);
      EXPECT_EQ(results[1].correct, results[0].correct);
      EXPECT_EQ(results[1].logits, results[0].logits);
    }
  }
}

TEST(MeshModule, GreedyGenerationIsTheSame) {
  GenerateRequest request;
  request.prompt = {3, 1, 4, 1, 5, 9};
  request.maxTokens = 20;
  request.sampling.temperature = 0;
  std::vector<int32_t> want;
  for (const char *mesh : {"", "2x4", "1x8", "4x1", "4x8"}) {
    Loaded model = load(mesh, {"prefill", "decode"}, "random:9");
    auto generator = Generator::create(*model.session);
    ASSERT_TRUE(generator);
    EXPECT_EQ(generator->vocab(), kVocab);
    auto result = generator->generate(request);
    ASSERT_TRUE(result) << result.error().str();
    if (want.empty())
      want = result->ids;
    EXPECT_EQ(result->ids, want) << mesh;
  }
  EXPECT_EQ(want.size(), 20u);
}

/// Sequences in which a token follows from the one before.
class Synthetic : public Batches {
public:
  Status fetch(int64_t first, int64_t count, SequenceRows rows) override {
    for (int64_t n = first; n < first + count; ++n) {
      int64_t id = n * 5 % kVocab;
      for (int64_t t = 0; t < kSequence; ++t) {
        *rows.tokens++ = static_cast<int32_t>(id);
        id = (id * 3 + n % 2) % kVocab;
        *rows.targets++ = t % 5 == 4 ? -1 : static_cast<int32_t>(id);
      }
    }
    return Status::success();
  }
  int64_t sequences() const override { return 10; }
};

class MeshTraining : public testing::Test {
protected:
  void SetUp() override {
    root = fs::path(testing::TempDir()) / fmt::format("qwen-mesh-{}", getpid());
    fs::remove_all(root);
  }
  void TearDown() override { fs::remove_all(root); }

  /// Trains to step `steps`, from a checkpoint if one is given; the losses.
  std::vector<double> train(const std::string &mesh, const std::string &name,
                            int64_t steps, const std::string &from = "") {
    auto module = Module::open(pathOf(mesh));
    EXPECT_TRUE(module) << module.error().str();
    Loaded model = load(mesh, Trainer::entries((*module)->manifest()),
                        from.empty() ? "random:5" : from);
    TrainerOptions options;
    options.settings = model.session->manifest().defaults;
    options.settings.eval.every = 0;
    options.settings.checkpoint.every = 0;
    options.steps = steps;
    options.settings.train.schedule.kind = "constant";
    options.out = (root / name).string();
    fs::create_directories(options.out);
    Synthetic data;
    Trainer trainer(*model.session, data, nullptr, options);
    if (!from.empty()) {
      auto resumed = trainer.resume(from, false);
      EXPECT_TRUE(resumed) << resumed.error().str();
    }
    auto status = trainer.run();
    EXPECT_TRUE(status) << status.error().str();
    std::vector<double> losses;
    std::ifstream file(options.out + "/metrics.jsonl");
    for (std::string line; std::getline(file, line);) {
      auto event = nlohmann::json::parse(line);
      if (event["type"] == "step")
        losses.push_back(event["loss"]);
    }
    return losses;
  }

  fs::path root;
};

TEST_F(MeshTraining, LossesAreThoseOfOneDevice) {
  std::vector<double> want = train("", "one", 20);
  ASSERT_EQ(want.size(), 20u);
  EXPECT_LT(want.back(), want.front() - 0.5);
  for (const char *mesh : {"1x1", "2x4", "1x8", "4x1", "4x8"}) {
    std::vector<double> losses = train(mesh, mesh, 20);
    ASSERT_EQ(losses.size(), 20u);
    for (size_t i = 0; i < 20; ++i)
      EXPECT_NEAR(losses[i], want[i], 1e-4) << mesh << " step " << i + 1;
  }
}

TEST_F(MeshTraining, AnyMeshResumesAnyCheckpoint) {
  std::vector<double> want = train("", "whole", 16);
  train("4x1", "first", 8);
  std::string checkpoint = (root / "first" / "step-000008").string();
  for (const char *mesh : {"", "2x4", "1x8", "4x1"}) {
    std::string name = fmt::format("then-{}", mesh);
    std::vector<double> losses = train(mesh, name, 16, checkpoint);
    ASSERT_EQ(losses.size(), 8u);
    for (size_t i = 0; i < 8; ++i)
      EXPECT_NEAR(losses[i], want[8 + i], 1e-4) << mesh << " step " << i + 9;
  }
  // What was loaded is what was saved, bit by bit.
  Loaded one = load("", {"optimizer_step"}, checkpoint);
  Loaded many = load("2x4", {"optimizer_step", "convert_storage"}, checkpoint);
  for (int p = 0; p < 3; ++p) {
    auto a = one.session->readState({ArgRole::Parameter, "master"}, p, 0);
    auto b = many.session->readState({ArgRole::Parameter, "master"}, p, 0);
    auto c = many.session->readState({ArgRole::Parameter, "compute"}, p, 0);
    int64_t n = one.session->manifest().parameters[p].elementsPerLayer();
    ASSERT_TRUE(a && b && c);
    EXPECT_TRUE(std::equal(*a, *a + n, *b));
    EXPECT_TRUE(std::equal(*a, *a + n, *c));
  }
}

TEST_F(MeshTraining, RanksReadTheirBlocksOnly) {
  train("", "one", 1);
  std::string checkpoint = (root / "one" / "step-000001").string();
  for (const char *mesh : {"2x4", "1x8"}) {
    auto module = Module::open(pathOf(mesh));
    ASSERT_TRUE(module);
    auto devices = test::makeDevices(*module, 1);
    const auto &parameters = devices->manifest().parameters;
    StateKind master{ArgRole::Parameter, "master"};
    uint64_t all = 0, most = 0;
    for (const ParameterInfo &parameter : parameters)
      all += parameter.elementsPerLayer() * parameter.layerCount() * 4;
    for (int lane = 0; lane < devices->lanes(); ++lane) {
      auto rank = RankSession::create(*module, devices->device(lane),
                                      {"optimizer_step"});
      ASSERT_TRUE(rank) << rank.error().str();
      auto source = WeightSource::open(checkpoint);
      ASSERT_TRUE(source);
      uint64_t header = (*source)->bytesRead();
      auto status = (*rank)->load(**source, {{"", master}});
      ASSERT_TRUE(status) << status.error().str();
      uint64_t bytes = 0;
      for (size_t p = 0; p < parameters.size(); ++p) {
        MatrixBlock block = (*rank)->stateBlock(master, static_cast<int>(p));
        bytes += parameters[p].layerCount() * block.rows * block.cols * 4;
      }
      EXPECT_EQ((*source)->bytesRead() - header, bytes) << mesh << " " << lane;
      most = std::max(most, bytes);
    }
    EXPECT_LT(most, all / 2);
  }
}

TEST(MeshErrors, RanksThatDoNotFit) {
  auto module = Module::open(pathOf("2x4"));
  ASSERT_TRUE(module);
  DeviceGroup::Options options;
  options.createDevice = test::makeCpu;
  options.comm = "single";
  auto group = DeviceGroup::create(*module, options);
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().code, 9001);
  EXPECT_NE(group.error().message.find("a mesh of 8 devices (data=2,tensor=4), "
                                       "1 rank is started"),
            std::string::npos);
  options.comm = "auto";
  options.flags.rank = 0;
  options.flags.ranks = 4;
  group = DeviceGroup::create(*module, options);
  ASSERT_FALSE(group);
  EXPECT_NE(group.error().message.find("4 ranks are started (flags)"),
            std::string::npos);
}

TEST(MeshErrors, ARankThatFailsStopsAll) {
  auto module = Module::open(pathOf("2x4"));
  auto devices = test::makeDevices(*module, 1);
  auto status = devices->forEach(
      [&](int lane) -> Status {
        if (lane == 5)
          return makeError(6031, "", "no more memory");
        qrt_collective c{};
        c.dtype = QRT_F32;
        c.axes = 7;
        c.count = 1;
        float x = 1;
        Communicator &comm = *devices->communicator(lane);
        QRT_RETURN_IF_ERROR(comm.start(c, &x, &x));
        return comm.wait();
      },
      true);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().str(), "error: rank 5: no more memory [Q6031]");
}

} // namespace
