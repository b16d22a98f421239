//===- TrainerTest.cpp - Tests of the training loop ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Trainer.h"
#include "runtime/core/Json.h"
#include "runtime/weights/WeightSource.h"
#include "test/unit/Mesh/Helpers.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

using namespace qrt;
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int64_t kVocab = 16, kSequence = 8;

/// Sequences in which every token is followed by three times itself plus one;
/// every fifth target is masked, and every third sequence has only three.
class Synthetic : public Batches {
public:
  Status fetch(int64_t first, int64_t count, SequenceRows rows) override {
    int32_t *tokens = rows.tokens, *targets = rows.targets;
    for (int64_t n = first; n < first + count; ++n) {
      int64_t id = n * 5 % kVocab;
      for (int64_t t = 0; t < kSequence; ++t) {
        *tokens++ = static_cast<int32_t>(id);
        id = (id * 3 + 1) % kVocab;
        bool masked = t % 5 == 4 || (n % 3 == 2 && t >= 3);
        *targets++ = masked ? -1 : static_cast<int32_t>(id);
      }
    }
    return Status::success();
  }
  int64_t sequences() const override { return 10; }
};

std::string fileText(const fs::path &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class TrainerTest : public testing::Test {
protected:
  void SetUp() override {
    const auto *info = testing::UnitTest::GetInstance()->current_test_info();
    root = fs::path(testing::TempDir()) /
           fmt::format("qwen-trainer-{}-{}", getpid(), info->name());
    fs::remove_all(root);
    fs::create_directories(root);
  }
  void TearDown() override { fs::remove_all(root); }

  struct Run {
    std::unique_ptr<DeviceGroup> devices;
    std::unique_ptr<SessionGroup> session;
    Synthetic data;
    std::unique_ptr<Trainer> trainer;
  };

  /// A trainer in root/name with the weights of `from`.
  std::unique_ptr<Run> make(const std::string &name, const std::string &from,
                            const std::vector<std::string> &settings = {},
                            int64_t steps = 24, int threads = 2,
                            const char *path = TEST_MODULE_F32) {
    auto run = std::make_unique<Run>();
    auto module = Module::open(path);
    EXPECT_TRUE(module) << module.error().str();
    run->devices = test::makeDevices(*module, threads);
    auto session = SessionGroup::create(
        *run->devices, Trainer::entries((*module)->manifest()));
    EXPECT_TRUE(session) << session.error().str();
    run->session = std::move(*session);
    TrainerOptions options;
    options.settings = (*module)->manifest().defaults;
    for (const std::string &setting : settings) {
      auto applied = applySetting(options.settings, setting);
      EXPECT_TRUE(applied) << applied.error().str();
    }
    options.steps = steps;
    options.out = (root / name).string();
    options.byteLengths.assign(kVocab, 2);
    options.byteLengths[0] = 0;
    fs::create_directories(options.out);
    auto source = WeightSource::open(from);
    EXPECT_TRUE(source) << source.error().str();
    auto loaded = run->session->loadWeights(**source);
    EXPECT_TRUE(loaded) << loaded.error().str();
    run->trainer = std::make_unique<Trainer>(*run->session, run->data,
                                             &run->data, std::move(options));
    return run;
  }

  std::vector<json> events(const std::string &name) {
    std::vector<json> result;
    std::ifstream file(root / name / "metrics.jsonl");
    for (std::string line; std::getline(file, line);)
      result.push_back(json::parse(line));
    return result;
  }

  /// Events without what depends on the clock; those of checkpoints, which end
  /// some time after they began, behind the others.
  std::vector<json> timeless(const std::string &name) {
    std::vector<json> result, checkpoints;
    auto all = events(name);
    for (json &event : all)
      (event["type"] == "checkpoint" ? checkpoints : result)
          .push_back(std::move(event));
    result.insert(result.end(), checkpoints.begin(), checkpoints.end());
    for (json &event : result)
      for (const char *key : {"seconds", "tokens_per_s", "mfu", "mfu_causal"})
        event.erase(key);
    return result;
  }

  void expectSame(const std::string &a, const std::string &b) {
    EXPECT_EQ(timeless(a), timeless(b));
    for (const char *file : {"model.safetensors", "optimizer.safetensors"})
      EXPECT_EQ(fileText(root / a / "latest" / file),
                fileText(root / b / "latest" / file))
          << file;
  }

  fs::path root;
};

TEST_F(TrainerTest, LearnsAndWritesTheContractsEvents) {
  auto run = make("out", "random:3");
  auto status = run->trainer->run();
  ASSERT_TRUE(status) << status.error().str();
  EXPECT_EQ(*status, 0);
  auto all = events("out");
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all[0]["type"], "config");
  std::vector<json> steps, evals, checkpoints;
  for (const json &event : all) {
    if (event["type"] == "step")
      steps.push_back(event);
    if (event["type"] == "eval")
      evals.push_back(event);
    if (event["type"] == "checkpoint")
      checkpoints.push_back(event);
  }
  ASSERT_EQ(steps.size(), 24u);
  EXPECT_LT(steps.back()["loss"].get<double>(),
            0.8 * steps[0]["loss"].get<double>());
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i]["step"], i + 1);
    EXPECT_EQ(steps[i]["tokens"], (i + 1) * 64);
    EXPECT_TRUE(steps[i]["mfu"].is_null());
    for (const char *key : {"grad_norm", "lr", "tokens_per_s", "seconds"})
      EXPECT_TRUE(steps[i][key].is_number()) << key;
  }
  EXPECT_DOUBLE_EQ(steps[0]["lr"].get<double>(), 0.05 / 4);
  ASSERT_EQ(evals.size(), 3u);
  EXPECT_NEAR(evals[0]["perplexity"].get<double>(),
              std::exp(evals[0]["loss"].get<double>()), 1e-9);
  EXPECT_GT(evals[0]["bits_per_byte"].get<double>(), 0);
  // Keep 2, and latest and best are links to complete ones.
  EXPECT_TRUE(fs::exists(root / "out/latest/COMPLETE"));
  EXPECT_TRUE(fs::exists(root / "out/best/COMPLETE"));
  EXPECT_EQ(fs::read_symlink(root / "out/latest"), "step-000024");
  EXPECT_TRUE(fs::exists(root / "out/step-000016"));
  EXPECT_FALSE(fs::exists(root / "out/step-000008"));
}

TEST_F(TrainerTest, TheSameBitsTwiceAndOnAnyNumberOfThreads) {
  for (const char *path : {TEST_MODULE_F32, TEST_MODULE_BF16}) {
    std::string tag = path == std::string(TEST_MODULE_F32) ? "f" : "b";
    for (int threads : {1, 2, 3})
      ASSERT_TRUE(
          make(tag + std::to_string(threads), "random:1", {}, 12, threads, path)
              ->trainer->run());
    expectSame(tag + "1", tag + "2");
    expectSame(tag + "1", tag + "3");
  }
}

TEST_F(TrainerTest, ResumedIsBitwiseTheSame) {
  for (const char *path : {TEST_MODULE_F32, TEST_MODULE_BF16}) {
    std::string tag = path == std::string(TEST_MODULE_F32) ? "f-" : "b-";
    ASSERT_TRUE(
        make(tag + "whole", "random:1", {}, 20, 2, path)->trainer->run());
    // The first part ends as if it had been killed right behind step 13: its
    // log goes on beyond the checkpoint.
    ASSERT_TRUE(
        make(tag + "parts", "random:1", {}, 20, 2, path)->trainer->run());
    std::string out = (root / (tag + "parts")).string();
    fs::remove_all(out + "/step-000020");
    fs::remove(out + "/latest");
    std::string checkpoint = out + "/step-000016";
    std::ofstream(out + "/metrics.jsonl", std::ios::app) << "{\"cut off";
    auto rest = make(tag + "parts", checkpoint, {}, 20, 1, path);
    auto resumed = rest->trainer->resume(checkpoint);
    ASSERT_TRUE(resumed) << resumed.error().str();
    EXPECT_EQ(rest->trainer->step(), 16);
    ASSERT_TRUE(rest->trainer->run());
    expectSame(tag + "whole", tag + "parts");
  }
}

TEST_F(TrainerTest, AnotherSeedCannotResume) {
  ASSERT_TRUE(make("out", "random:1", {}, 8)->trainer->run());
  std::string checkpoint = (root / "out/step-000008").string();
  auto run = make("out", checkpoint, {"train.seed=4"});
  EXPECT_EQ(run->trainer->resume(checkpoint).error().code, 8010);
}

TEST_F(TrainerTest, AccumulationIsALargerBatch) {
  // 2 x 4 sequences at once or one after the other, with unequal masks: the
  // module's batch is 4, so the whole is computed here from two half losses.
  auto run = make("out", "random:1",
                  {"train.accumulate=2", "train.optimizer.clip=0"}, 1);
  std::vector<int32_t> tokens(64), targets(64);
  ASSERT_TRUE(run->data.fetch(0, 8, {tokens.data(), targets.data()}));
  auto eval = run->session->prepare("eval_loss");
  ASSERT_TRUE(eval);
  double nats = 0;
  int64_t count = 0;
  for (int half = 0; half < 2; ++half) {
    float loss = 0;
    int32_t some = 0, correct = 0;
    eval->bindInput("tokens", tokens.data() + 32 * half);
    eval->bindInput("targets", targets.data() + 32 * half);
    eval->bindOutput("loss", &loss);
    eval->bindOutput("count", &some);
    eval->bindOutput("correct", &correct);
    ASSERT_TRUE(eval->run());
    nats += loss;
    count += some;
  }
  ASSERT_TRUE(run->trainer->run());
  for (const json &event : events("out"))
    if (event["type"] == "step")
      EXPECT_NEAR(event["loss"].get<double>(), nats / double(count), 1e-6);
}

TEST_F(TrainerTest, NonFiniteStopsAndUpdatesNothing) {
  auto run = make("out", "random:1");
  auto *table =
      static_cast<float *>(run->session->first().parameter(0, "master"));
  table[3] = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> before(table, table + kVocab * kVocab);
  auto status = run->trainer->run();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, 8004);
  EXPECT_NE(status.error().message.find("step 1"), std::string::npos);
  EXPECT_EQ(std::memcmp(before.data(), table, before.size() * 4), 0);
  EXPECT_FALSE(fs::exists(root / "out/latest"));
}

/// The same data, and NaN weights for one step of it: the loss of that step is
/// not finite, whatever the batch.
class Poisoned : public Synthetic {
public:
  Status fetch(int64_t first, int64_t count, SequenceRows rows) override {
    float value = std::numeric_limits<float>::quiet_NaN();
    bool poison = first >= from && first < to;
    if (poison && weights[0] == weights[0])
      good = weights[0];
    weights[0] = poison ? value : weights[0] == weights[0] ? weights[0] : good;
    return Synthetic::fetch(first, count, rows);
  }
  float *weights = nullptr;
  float good = 0;
  int64_t from = 0, to = 0;
};

TEST_F(TrainerTest, NonFiniteIsSkippedAFewTimes) {
  for (int64_t poisoned : {2, 3}) {
    std::string name = std::to_string(poisoned);
    auto run = make(name, "random:1");
    TrainerOptions options;
    options.settings = run->session->manifest().defaults;
    options.settings.train.nonFinite = NonFinite::Skip;
    options.settings.train.maxSkips = 2;
    options.steps = 8;
    options.out = (root / name).string();
    Poisoned data;
    data.weights =
        static_cast<float *>(run->session->first().parameter(0, "master"));
    data.from = 3 * 8; // 8 sequences a step
    data.to = data.from + poisoned * 8;
    // One of the f32 module's storages is the other.
    ASSERT_EQ(data.weights, run->session->first().parameter(0, "compute"));
    Trainer trainer(*run->session, data, nullptr, options);
    auto status = trainer.run();
    ASSERT_EQ(bool(status), poisoned == 2);
    if (!status) {
      EXPECT_EQ(status.error().code, 8004);
      EXPECT_NE(status.error().message.find("3th time in a row"),
                std::string::npos)
          << status.error().message;
    }
    int skipped = 0;
    for (const json &event : events(name))
      if (event["type"] == "step" && event.contains("skipped")) {
        ++skipped;
        EXPECT_TRUE(event["loss"].is_null());
        EXPECT_GT(event["step"], 3);
      }
    EXPECT_EQ(skipped, 2);
  }
}

TEST_F(TrainerTest, OutliersAreSkippedAndLogged) {
  // So little is an outlier that half of the steps are, from the first score
  // on: without learning, losses go up and down with the data.
  auto run = make("out", "random:1",
                  {"train.skip_outliers=1e-9", "train.max_skips=1000",
                   "train.optimizer.lr=0", "train.schedule.min_lr=0"},
                  80);
  ASSERT_TRUE(run->trainer->run());
  int64_t scored = 0, skipped = 0, unscored = 0;
  for (const json &event : events("out"))
    if (event["type"] == "step") {
      bool isScored = event["loss_z"].is_number();
      scored += isScored;
      unscored += !isScored;
      if (event.contains("skipped")) {
        ++skipped;
        EXPECT_TRUE(isScored);
        EXPECT_TRUE(event["loss_z"] > 1e-9 || event["grad_norm_z"] > 1e-9);
      }
    }
  EXPECT_EQ(unscored, 32);
  EXPECT_EQ(scored, 48);
  EXPECT_GT(skipped, 0);
}

TEST_F(TrainerTest, SkippingResumesBitwise) {
  std::vector<std::string> settings = {
      "train.skip_outliers=0.5", "train.max_skips=1000", "checkpoint.keep=0"};
  ASSERT_TRUE(make("whole", "random:1", settings, 72)->trainer->run());
  ASSERT_TRUE(make("parts", "random:1", settings, 72)->trainer->run());
  for (int step : {72, 64, 56})
    fs::remove_all(root / fmt::format("parts/step-{:06}", step));
  std::string checkpoint = (root / "parts/step-000048").string();
  auto rest = make("parts", checkpoint, settings, 72);
  auto resumed = rest->trainer->resume(checkpoint);
  ASSERT_TRUE(resumed) << resumed.error().str();
  ASSERT_TRUE(rest->trainer->run());
  expectSame("whole", "parts");
}

TEST_F(TrainerTest, DifferencesAreListed) {
  ASSERT_TRUE(make("out", "random:1", {}, 8)->trainer->run());
  std::string checkpoint = (root / "out/step-000008").string();
  auto run = make("out", checkpoint,
                  {"train.seed=4", "train.optimizer.lr=0.01",
                   "train.schedule.min_lr=0.001", "log.every=3",
                   "checkpoint.every=100"});
  auto status = run->trainer->resume(checkpoint);
  ASSERT_FALSE(status);
  const std::string &message = status.error().message;
  for (const char *line :
       {"train.seed: 3 in the checkpoint, 4 now",
        "train.optimizer.lr: 0.05 in the checkpoint, 0.01 now",
        "train.schedule.min_lr: "})
    EXPECT_NE(message.find(line), std::string::npos) << message;
  EXPECT_EQ(message.find("log"), std::string::npos);
  EXPECT_TRUE(run->trainer->resume(checkpoint, /*acceptChanges=*/true));
}

TEST_F(TrainerTest, KeepsWhatItIsTold) {
  ASSERT_TRUE(make("out", "random:1",
                   {"checkpoint.every=2", "checkpoint.keep=2",
                    "checkpoint.keep_every=8", "checkpoint.best=false"})
                  ->trainer->run());
  std::set<std::string> names;
  for (const auto &entry : fs::directory_iterator(root / "out"))
    if (entry.path().filename().string().rfind("step-", 0) == 0)
      names.insert(entry.path().filename().string());
  EXPECT_EQ(names,
            (std::set<std::string>{"step-000008", "step-000016", "step-000020",
                                   "step-000022", "step-000024"}));
}

TEST_F(TrainerTest, InTheBackgroundAndAtOnceAreTheSame) {
  ASSERT_TRUE(make("a", "random:1", {"checkpoint.async=true"})->trainer->run());
  ASSERT_TRUE(
      make("b", "random:1", {"checkpoint.async=false"})->trainer->run());
  for (const char *step : {"step-000016", "step-000024"})
    for (const char *file :
         {"model.safetensors", "optimizer.safetensors", "trainer.json"}) {
      EXPECT_EQ(fileText(root / "a" / step / file),
                fileText(root / "b" / step / file))
          << step << file;
    }
}

TEST_F(TrainerTest, TablesGoWithTheLog) {
  ASSERT_TRUE(make("out", "random:1", {}, 20)->trainer->run());
  std::string whole = fileText(root / "out/metrics.csv");
  // As after a kill at step 18: the table follows the log back to step 16.
  std::string checkpoint = (root / "out/step-000016").string();
  fs::remove_all(root / "out/step-000020");
  std::string leftover = (root / "out/.metrics.csv.4711.tmp").string();
  std::ofstream(leftover) << "step";
  auto rest = make("out", checkpoint, {}, 20);
  ASSERT_TRUE(rest->trainer->resume(checkpoint));
  ASSERT_TRUE(rest->trainer->run());
  auto steps = [](const std::string &text) {
    std::vector<std::string> result;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
      result.push_back(line.substr(0, line.find(',')));
    return result;
  };
  EXPECT_EQ(steps(fileText(root / "out/metrics.csv")), steps(whole));
  EXPECT_EQ(steps(whole).size(), 1 + 20 + 3u);
  EXPECT_FALSE(fs::exists(leftover));
  EXPECT_TRUE(fs::exists(root / "out/events.out.tfevents.0000000000.qwen-rt"));
  EXPECT_TRUE(fs::exists(root / "out/events.out.tfevents.0000000016.qwen-rt"));
}

TEST_F(TrainerTest, MfuNeedsAPeak) {
  auto run = make("out", "random:1", {}, 2);
  TrainerOptions options;
  options.settings = run->session->manifest().defaults;
  options.steps = 2;
  options.out = (root / "out").string();
  options.peakTflops = 1e-3;
  Trainer trainer(*run->session, run->data, nullptr, options);
  ASSERT_TRUE(trainer.run());
  for (const json &event : events("out"))
    if (event["type"] == "step") {
      double speed = event["tokens_per_s"].get<double>();
      EXPECT_NEAR(event["mfu"].get<double>(), speed * 300 / 1e9, 1e-9 * speed);
      EXPECT_NEAR(event["mfu_causal"].get<double>(), speed * 250 / 1e9,
                  1e-9 * speed);
    }
}

TEST_F(TrainerTest, BitsPerByteLeavesSpecialTokensOut) {
  auto run = make("out", "random:1");
  EvalOptions all;
  all.byteLengths.assign(kVocab, 1);
  EvalOptions without0 = all;
  without0.byteLengths[0] = 0;
  auto whole = evaluate(*run->session, run->data, all);
  auto part = evaluate(*run->session, run->data, without0);
  ASSERT_TRUE(whole && part);
  EXPECT_EQ(whole->tokens, whole->bytes);
  EXPECT_EQ(whole->nats, whole->textNats);
  EXPECT_EQ(part->nats, whole->nats);
  EXPECT_LT(part->bytes, whole->bytes);
  EXPECT_LT(part->textNats, whole->textNats);
  EXPECT_GT(part->textNats, 0);
}

} // namespace
