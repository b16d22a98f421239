//===- CheckpointTest.cpp - Tests of saving and resuming ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Checkpoint.h"
#include "Helpers.h"
#include "runtime/core/Json.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;
using namespace qrt;
using namespace qrt::test;

namespace {

/// A model with weights and moments and a directory for its run.
struct TrainingRun {
  std::vector<ParameterInfo> params = {
      parameter("a", "model.embed.weight", {50, 20}),
      parameter("w", "model.layers.{i}.w.weight", {20, 30}, 3)};
  Store weights{params}, first{params}, second{params};
  TempDir dir;
  std::string out = dir / "runs/x";

  CheckpointData data(int64_t step) {
    CheckpointData d;
    d.parameters = &params;
    d.weights = weights.constPointers();
    d.moment1 = first.constPointers();
    d.moment2 = second.constPointers();
    d.hfConfig = {{"model_type", "qwen3"}, {"eos_token_id", 7}};
    d.files["tokenizer.json"] = "{}";
    d.trainer.step = step;
    d.trainer.sequences = step * 4;
    d.trainer.tokens = step * 400;
    d.trainer.seed = ~uint64_t(0);
    d.trainer.extra = {{"best", 1.25}};
    return d;
  }
  void fill(float value) {
    weights.fillDistinct(value);
    first.fillDistinct(value + 1);
    second.fillDistinct(value + 2);
  }
  std::string save(int64_t step, uint64_t shard = defaultShardBytes) {
    auto name = saveCheckpoint(out, data(step), shard);
    EXPECT_TRUE(name) << name.error().str();
    return name ? *name : "";
  }
};

TEST(Checkpoint, RoundTrip) {
  TrainingRun run;
  run.fill(10);
  EXPECT_EQ(run.save(3), "step-000003");
  std::string path = run.out + "/step-000003";
  EXPECT_EQ(namesIn(path),
            (std::vector<std::string>{
                "COMPLETE", "config.json", "generation_config.json",
                "model.safetensors", "optimizer.safetensors", "tokenizer.json",
                "trainer.json"}));
  EXPECT_EQ(namesIn(run.out),
            (std::vector<std::string>{"latest", "step-000003"}));
  EXPECT_EQ(fs::read_symlink(run.out + "/latest"), "step-000003");
  EXPECT_EQ(readJsonFile(path + "/generation_config.json")->dump(),
            R"({"eos_token_id":7})");
  EXPECT_TRUE(checkCheckpoint(path));

  auto state = readTrainerState(path);
  ASSERT_TRUE(state) << state.error().str();
  EXPECT_EQ(state->step, 3);
  EXPECT_EQ(state->sequences, 12);
  EXPECT_EQ(state->tokens, 1200);
  EXPECT_EQ(state->seed, ~uint64_t(0));
  EXPECT_EQ(state->extra["best"], 1.25);

  Store w(run.params), m1(run.params), m2(run.params);
  auto source = WeightSource::open(path);
  ASSERT_TRUE(source) << source.error().str();
  ASSERT_TRUE(loadParameters(**source, run.params, w.pointers()));
  Status status = loadMoments(path, run.params, m1.pointers(), m2.pointers());
  ASSERT_TRUE(status) << status.error().str();
  EXPECT_EQ(w, run.weights);
  EXPECT_EQ(m1, run.first);
  EXPECT_EQ(m2, run.second);
}

TEST(Checkpoint, EqualStateGivesEqualBytes) {
  TrainingRun a, b;
  a.fill(1);
  b.fill(1);
  a.save(5);
  b.save(5);
  for (const std::string &name : namesIn(a.out + "/step-000005"))
    EXPECT_EQ(readFile(a.out + "/step-000005/" + name),
              readFile(b.out + "/step-000005/" + name))
        << name;
}

TEST(Checkpoint, Shards) {
  TrainingRun run;
  run.fill(1);
  run.save(1, 5000); // the embedding has 4000 bytes, a layer 2400
  std::string path = run.out + "/step-000001";
  EXPECT_FALSE(fs::exists(path + "/model.safetensors"));
  EXPECT_TRUE(fs::exists(path + "/model-00001-of-00003.safetensors"));
  EXPECT_TRUE(fs::exists(path + "/model-00003-of-00003.safetensors"));
  auto index = readJsonFile(path + "/model.safetensors.index.json");
  ASSERT_TRUE(index);
  EXPECT_EQ((*index)["metadata"]["total_size"], 4000 + 3 * 2400);
  auto source = WeightSource::open(path);
  ASSERT_TRUE(source) << source.error().str();
  Store w(run.params);
  ASSERT_TRUE(loadParameters(**source, run.params, w.pointers()));
  EXPECT_EQ(w, run.weights);
}

TEST(Checkpoint, TheSameStepIsReplaced) {
  TrainingRun run;
  run.fill(1);
  run.save(2, 5000);
  run.fill(2);
  run.save(2);
  EXPECT_EQ(namesIn(run.out),
            (std::vector<std::string>{"latest", "step-000002"}));
  auto source = WeightSource::open(run.out + "/latest");
  ASSERT_TRUE(source);
  Store w(run.params);
  ASSERT_TRUE(loadParameters(**source, run.params, w.pointers()));
  EXPECT_EQ(w, run.weights);
}

TEST(Checkpoint, KeepsTheNewestAndTheLinked) {
  TrainingRun run;
  run.fill(1);
  for (int step : {1, 2, 3, 4, 5, 1000000})
    run.save(step);
  ASSERT_TRUE(linkCheckpoint(run.out, "best", "step-000002"));
  ASSERT_TRUE(linkCheckpoint(run.out, "best", "step-000001"));
  ASSERT_TRUE(pruneCheckpoints(run.out, 0));
  EXPECT_EQ(namesIn(run.out).size(), 8u);
  ASSERT_TRUE(pruneCheckpoints(run.out, 2));
  EXPECT_EQ(namesIn(run.out),
            (std::vector<std::string>{"best", "latest", "step-000001",
                                      "step-000005", "step-1000000"}));
  ASSERT_TRUE(linkCheckpoint(run.out, "latest", "step-000005"));
  ASSERT_TRUE(pruneCheckpoints(run.out, 1));
  EXPECT_EQ(namesIn(run.out),
            (std::vector<std::string>{"best", "latest", "step-000001",
                                      "step-000005", "step-1000000"}));
  EXPECT_EQ(**findLatestComplete(run.out), run.out + "/step-1000000");
}

TEST(Checkpoint, TornOnesAreIgnored) {
  TrainingRun run;
  run.fill(1);
  EXPECT_FALSE(*findLatestComplete(run.out));
  for (int step : {1, 2, 3, 4, 5})
    run.save(step);
  auto path = [&](int step) {
    return run.out + fmt::format("/step-{:06d}", step);
  };
  fs::remove(path(5) + "/COMPLETE");
  fs::resize_file(path(4) + "/optimizer.safetensors", 100);
  fs::remove(path(3) + "/model.safetensors");
  writeFile(path(2) + "/COMPLETE", "{\"files\": 3");
  fs::create_directories(run.out + "/step-abc");
  fs::create_directories(run.out + "/step-99");
  writeFile(run.out + "/step-000009", "a file");
  std::vector<std::string> ignored;
  auto found = findLatestComplete(run.out, &ignored);
  ASSERT_TRUE(found) << found.error().str();
  ASSERT_TRUE(*found);
  EXPECT_EQ(**found, path(1));
  EXPECT_EQ(ignored.size(), 5u);
  // Deleting counts whole ones only.
  ASSERT_TRUE(pruneCheckpoints(run.out, 1));
  EXPECT_TRUE(fs::exists(path(1)));
}

TEST(Checkpoint, BadTrainerState) {
  TempDir dir;
  for (const char *text :
       {"", "[]", "{}", "{\"format\":2}", "{\"format\":1,\"step\":-1}",
        "{\"format\":1,\"step\":1,\"sequences\":1,\"tokens\":1}",
        "{\"format\":1,\"step\":1.5,\"sequences\":1,\"tokens\":1,\"seed\":1}",
        "{\"format\":1,\"step\":18446744073709551615,\"sequences\":1,"
        "\"tokens\":1,\"seed\":1}"}) {
    writeFile(dir / "trainer.json", text);
    EXPECT_FALSE(readTrainerState(dir.path())) << text;
  }
}

TEST(Checkpoint, AFullDiskLosesNothing) {
  TrainingRun run;
  run.fill(1);
  run.save(1);
  std::string before = readFile(run.out + "/step-000001/model.safetensors");
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // A limit on file sizes stands for the disk: it, too, stops writing.
    rlimit limit{8000, 8000};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto result = saveCheckpoint(run.out, run.data(2));
    _exit(!result && result.error().code == 3030 &&
                  result.error().message.find("cannot write") !=
                      std::string::npos
              ? 0
              : 1);
  }
  int result;
  waitpid(child, &result, 0);
  ASSERT_TRUE(WIFEXITED(result));
  EXPECT_EQ(WEXITSTATUS(result), 0);
  EXPECT_EQ(namesIn(run.out),
            (std::vector<std::string>{"latest", "step-000001"}));
  EXPECT_EQ(**findLatestComplete(run.out), run.out + "/step-000001");
  EXPECT_EQ(readFile(run.out + "/step-000001/model.safetensors"), before);
}

TEST(Checkpoint, AKillAtAnyTimeLosesNothing) {
  TrainingRun run;
  run.fill(1);
  // Disks differ: kills are spread over the time of two saves.
  auto start = std::chrono::steady_clock::now();
  run.save(1);
  auto oneSave = std::chrono::duration_cast<std::chrono::microseconds>(
                     std::chrono::steady_clock::now() - start)
                     .count();
  int lastStep = 1;
  constexpr int rounds = 32;
  for (int round = 0; round < rounds; ++round) {
    int pipeEnds[2];
    ASSERT_EQ(pipe(pipeEnds), 0);
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // Saves until it is killed, and says which saves have returned.
      for (int step = lastStep + 1;; ++step) {
        run.fill(static_cast<float>(step));
        if (!saveCheckpoint(run.out, run.data(step)) ||
            !pruneCheckpoints(run.out, 2) ||
            write(pipeEnds[1], &step, sizeof step) != sizeof step)
          _exit(1);
      }
    }
    close(pipeEnds[1]);
    usleep(static_cast<useconds_t>(oneSave * 2 * (round + 1) / rounds));
    kill(child, SIGKILL);
    int result;
    waitpid(child, &result, 0);
    ASSERT_TRUE(WIFSIGNALED(result)) << "the child failed by itself";
    int step = 0, reported = lastStep;
    while (read(pipeEnds[0], &step, sizeof step) == sizeof step)
      reported = step;
    close(pipeEnds[0]);

    // What was reported as saved is there, whole, or something newer is.
    std::vector<std::string> ignored;
    auto found = findLatestComplete(run.out, &ignored);
    ASSERT_TRUE(found) << found.error().str();
    EXPECT_TRUE(ignored.empty()) << ignored[0];
    ASSERT_TRUE(*found);
    auto state = readTrainerState(**found);
    ASSERT_TRUE(state);
    EXPECT_GE(state->step, reported);
    lastStep = static_cast<int>(state->step);
    auto source = WeightSource::open(**found);
    ASSERT_TRUE(source) << source.error().str();
    Store w(run.params), m1(run.params), m2(run.params);
    ASSERT_TRUE(loadParameters(**source, run.params, w.pointers()));
    ASSERT_TRUE(loadMoments(**found, run.params, m1.pointers(), m2.pointers()));
    run.fill(static_cast<float>(lastStep));
    EXPECT_EQ(w, run.weights);
    EXPECT_EQ(m1, run.first);
    EXPECT_EQ(m2, run.second);
  }
  EXPECT_GT(lastStep, 5) << "the test never saw a save";
  // One more save removes what the kills left.
  run.save(lastStep + 1);
  ASSERT_TRUE(pruneCheckpoints(run.out, 1));
  EXPECT_EQ(namesIn(run.out).size(), 2u);
}

TEST(Checkpoint, NamesOfFiles) {
  TrainingRun run;
  for (const char *name : {"../x", "a/b", ".x", ""}) {
    CheckpointData data = run.data(1);
    data.files[name] = "x";
    EXPECT_FALSE(saveCheckpoint(run.out, data)) << name;
  }
}

} // namespace
