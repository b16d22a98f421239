//===- CommunicatorTest.cpp - Collectives between threads -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectiveCases.h"
#include "runtime/comm/ThreadTransport.h"

#include <chrono>
#include <functional>
#include <gtest/gtest.h>
#include <mutex>
#include <thread>

using namespace qrt;
using namespace qrt::test;

namespace {

/// Runs `body` on a thread for every rank of a mesh.
void onAllRanks(
    const Mesh &mesh, Communicator::Options options, double timeout,
    const std::function<void(Communicator &, ThreadWorld &)> &body) {
  ThreadWorld world(mesh, timeout);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < mesh.ranks(); ++rank)
    threads.emplace_back([&, rank] {
      Communicator comm(mesh, rank, world.transport(rank), options);
      body(comm, world);
    });
  for (std::thread &thread : threads)
    thread.join();
}

/// Collects what the ranks have to say.
class Messages {
public:
  void add(std::string text) {
    if (text.empty())
      return;
    std::lock_guard<std::mutex> lock(mutex);
    texts.push_back(std::move(text));
  }
  std::vector<std::string> texts;

private:
  std::mutex mutex;
};

void checkMesh(int data, int tensor, Communicator::Options options,
               int64_t largest) {
  Mesh mesh = makeMesh(data, tensor);
  Messages wrong;
  onAllRanks(mesh, options, 60, [&](Communicator &comm, ThreadWorld &world) {
    std::string text = runCollectiveCases(comm, 11, largest);
    if (!text.empty())
      world.abort(comm.rank(), text);
    wrong.add(text);
  });
  EXPECT_TRUE(wrong.texts.empty()) << wrong.texts[0];
}

qrt_collective allReduce(int32_t id, int64_t count, uint64_t axes) {
  qrt_collective c{};
  c.kind = QRT_ALL_REDUCE;
  c.dtype = QRT_F32;
  c.id = id;
  c.axes = axes;
  c.count = count;
  return c;
}

Status call(Communicator &comm, const qrt_collective &c, float *data) {
  if (Status status = comm.start(c, data, data); !status)
    return status;
  return comm.wait();
}

} // namespace

TEST(Communicator, AllKindsTypesAndAxes1x1) { checkMesh(1, 1, {}, 100); }
TEST(Communicator, AllKindsTypesAndAxes2x4) { checkMesh(2, 4, {}, 3000); }
TEST(Communicator, AllKindsTypesAndAxes1x8) { checkMesh(1, 8, {}, 3000); }
TEST(Communicator, AllKindsTypesAndAxes3x2) { checkMesh(3, 2, {}, 3000); }
TEST(Communicator, AllKindsTypesAndAxes1x32) { checkMesh(1, 32, {}, 200); }
TEST(Communicator, AllKindsTypesAndAxes8x4) { checkMesh(8, 4, {}, 200); }
TEST(Communicator, OwnThreads) {
  Communicator::Options options;
  options.ownThread = true;
  checkMesh(2, 4, options, 3000);
}
TEST(Communicator, DebugFindsNothingWrong) {
  Communicator::Options options;
  options.debug = true;
  checkMesh(2, 2, options, 500);
}

TEST(Communicator, RanksThatDisagree) {
  // Over different axes, so that the group alone could not tell.
  Communicator::Options options;
  options.debug = true;
  Messages said;
  onAllRanks(makeMesh(2, 2), options, 60,
             [&](Communicator &comm, ThreadWorld &) {
               float x[8] = {};
               (void)call(comm, allReduce(1, 8, 3), x);
               Status status = call(comm,
                                    allReduce(comm.rank() == 2 ? 7 : 2, 8,
                                              comm.rank() == 2 ? 1 : 2),
                                    x);
               ASSERT_FALSE(status);
               said.add(status.error().str());
             });
  ASSERT_EQ(said.texts.size(), 4u);
  for (const std::string &text : said.texts)
    EXPECT_EQ(text,
              "error: the ranks disagree about collective 1 of the run: rank 0 "
              "has all_reduce #2 of 8 f32 over tensor, rank 2 has all_reduce "
              "#7 of 8 f32 over data [Q9012]");
}

TEST(Communicator, CountsThatDisagreeAreSeenAlways) {
  Messages said;
  onAllRanks(makeMesh(2, 1), {}, 60, [&](Communicator &comm, ThreadWorld &) {
    std::vector<float> x(100);
    Status status =
        call(comm, allReduce(5, comm.rank() ? 100 : 99, 1), x.data());
    ASSERT_FALSE(status);
    said.add(status.error().str());
  });
  ASSERT_EQ(said.texts.size(), 2u);
  EXPECT_EQ(said.texts[0], said.texts[1]);
  EXPECT_NE(said.texts[0].find("rank 1 has all_reduce #5 of 100 f32"),
            std::string::npos);
}

TEST(Communicator, AbortEndsAllRanks) {
  Messages said;
  onAllRanks(makeMesh(2, 4), {}, 60,
             [&](Communicator &comm, ThreadWorld &world) {
               float x = 1;
               (void)call(comm, allReduce(1, 1, 7), &x);
               if (comm.rank() == 5) {
                 std::this_thread::sleep_for(std::chrono::milliseconds(50));
                 world.abort(5, "the disk is full");
                 return;
               }
               Status status = call(comm, allReduce(2, 1, 7), &x);
               ASSERT_FALSE(status);
               said.add(status.error().str());
             });
  ASSERT_EQ(said.texts.size(), 7u);
  for (const std::string &text : said.texts)
    EXPECT_EQ(text, "error: stopped because rank 5 failed: the disk is full "
                    "[Q9013]");
}

TEST(Communicator, LateRankIsNamed) {
  Messages said;
  onAllRanks(makeMesh(1, 4), {}, 0.2, [&](Communicator &comm, ThreadWorld &) {
    float x = 1;
    if (comm.rank() == 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(600));
      return;
    }
    Status status = call(comm, allReduce(3, 1, 3), &x);
    ASSERT_FALSE(status);
    said.add(status.error().str());
  });
  ASSERT_EQ(said.texts.size(), 3u);
  for (const std::string &text : said.texts)
    EXPECT_EQ(text, "error: rank 2 has not come to all_reduce #3 of 1 f32 over "
                    "tensor within 0.2 s [Q9014]");
}

TEST(Communicator, WrongUse) {
  ThreadWorld world(makeMesh(1, 2), 1);
  Communicator comm(makeMesh(1, 2), 0, world.transport(0), {});
  float x = 0;
  EXPECT_EQ(comm.wait().error().code, 9011);
  EXPECT_EQ(comm.start(allReduce(1, 1, 2), &x, &x).error().code, 9011);
  EXPECT_EQ(comm.start(allReduce(1, -1, 1), &x, &x).error().code, 9011);
  qrt_collective scatter = allReduce(1, 3, 1);
  scatter.kind = QRT_REDUCE_SCATTER;
  EXPECT_EQ(comm.start(scatter, &x, &x).error().code, 9011);
}

TEST(Communicator, NothingHangsInRepeatedRuns) {
  const char *ci = std::getenv("QWEN_LONG_TESTS");
  int runs = ci && *ci == '1' ? 200 : 5;
  for (int run = 0; run < runs; ++run) {
    Messages wrong;
    Communicator::Options options;
    options.ownThread = run % 2;
    onAllRanks(makeMesh(2, 4), options, 60,
               [&](Communicator &comm, ThreadWorld &) {
                 wrong.add(runCollectiveCases(comm, run, 50));
               });
    ASSERT_TRUE(wrong.texts.empty()) << wrong.texts[0];
  }
}
