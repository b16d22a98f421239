//===- RanksTest.cpp - Finding the rank of a process ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Ranks.h"

#include <gtest/gtest.h>
#include <map>

using namespace qrt;

namespace {

using Variables = std::map<std::string, std::string>;

Expected<std::optional<RankInfo>> find(const Variables &variables,
                                       const RankFlags &flags = {}) {
  return findRanks(flags, [&](const char *name) -> const char * {
    auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  });
}

std::string show(const Expected<std::optional<RankInfo>> &found) {
  if (!found)
    return found.error().str();
  if (!*found)
    return "nothing";
  const RankInfo &info = **found;
  return fmt::format("{}: {} of {}, local {}, at {}", info.source, info.rank,
                     info.ranks, info.localRank, info.rendezvous);
}

const Variables kTorchrun = {{"RANK", "5"},
                             {"WORLD_SIZE", "8"},
                             {"LOCAL_RANK", "1"},
                             {"MASTER_ADDR", "node0"},
                             {"MASTER_PORT", "29500"}};
const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "3"},
                            {"OMPI_COMM_WORLD_SIZE", "4"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "3"}};
const Variables kSlurm = {
    {"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "16"}, {"SLURM_LOCALID", "0"}};
const Variables kKubernetes = {{"JOB_COMPLETION_INDEX", "1"},
                               {"JOB_COMPLETIONS", "2"},
                               {"QWEN_RENDEZVOUS", "train-0.train:7000"}};

Variables merged(Variables a, const Variables &b) {
  a.insert(b.begin(), b.end());
  return a;
}

} // namespace

TEST(Ranks, EachLauncher) {
  EXPECT_EQ(show(find({})), "nothing");
  EXPECT_EQ(show(find(kTorchrun)), "torchrun: 5 of 8, local 1, at node0:29500");
  EXPECT_EQ(show(find(kOpenMpi)), "Open MPI: 3 of 4, local 3, at ");
  EXPECT_EQ(show(find(kSlurm)), "SLURM: 2 of 16, local 0, at ");
  EXPECT_EQ(show(find(kKubernetes)),
            "Kubernetes: 1 of 2, local 0, at train-0.train:7000");
  EXPECT_EQ(show(find({}, {6, 8, "h:1"})), "flags: 6 of 8, local 0, at h:1");
}

TEST(Ranks, FirstCompleteSetWins) {
  Variables all = merged(kKubernetes, merged(kSlurm, kOpenMpi));
  EXPECT_EQ(show(find(merged(all, kTorchrun))),
            "torchrun: 5 of 8, local 1, at node0:29500");
  EXPECT_EQ(show(find(all)), "Open MPI: 3 of 4, local 3, at ");
  // What is incomplete is passed over.
  all["RANK"] = "0";
  EXPECT_EQ(show(find(all)), "Open MPI: 3 of 4, local 3, at ");
  all.erase("OMPI_COMM_WORLD_RANK");
  EXPECT_EQ(show(find(all)), "SLURM: 2 of 16, local 0, at train-0.train:7000");
}

TEST(Ranks, IncompleteWithoutACompleteOne) {
  Variables some = kTorchrun;
  some.erase("MASTER_PORT");
  some["SLURM_PROCID"] = "1";
  EXPECT_EQ(show(find(some)),
            "error: the ranks of this job are said incompletely: RANK, "
            "WORLD_SIZE, MASTER_ADDR (torchrun) without MASTER_PORT; "
            "SLURM_PROCID (SLURM) without SLURM_NTASKS; give --rank and "
            "--ranks, start with a launcher, or run alone with --comm single "
            "or threads [Q9002]");
  EXPECT_EQ(find({}, {2, std::nullopt, ""}).error().code, 9002);
  EXPECT_EQ(find({}, {std::nullopt, std::nullopt, "h:1"}).error().code, 9002);
  // An address or a port alone says nothing about ranks.
  EXPECT_EQ(show(find({{"MASTER_ADDR", "x"}})), "nothing");
}

TEST(Ranks, FlagsAgainstVariables) {
  EXPECT_EQ(show(find(kTorchrun, {5, 8, ""})),
            "flags: 5 of 8, local 1, at node0:29500");
  EXPECT_EQ(show(find(kTorchrun, {5, std::nullopt, "other:1"})),
            "torchrun: 5 of 8, local 1, at other:1");
  EXPECT_EQ(show(find(kTorchrun, {4, 8, ""})),
            "error: the flags --rank 4 --ranks 8 contradict RANK=5 and "
            "WORLD_SIZE=8 of torchrun [Q9003]");
  EXPECT_EQ(find(kOpenMpi, {std::nullopt, 8, ""}).error().code, 9003);
}

TEST(Ranks, BadNumbers) {
  for (auto [name, value] : Variables{{"RANK", "-1"},
                                      {"RANK", "8"},
                                      {"WORLD_SIZE", "0"},
                                      {"WORLD_SIZE", "eight"},
                                      {"MASTER_PORT", "70000"},
                                      {"LOCAL_RANK", "1x"}}) {
    Variables some = kTorchrun;
    some[name] = value;
    EXPECT_EQ(find(some).error().code, 9004) << name;
  }
  EXPECT_EQ(find({}, {8, 8, ""}).error().code, 9004);
}
