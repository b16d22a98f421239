//===- Ranks.cpp - Who this process is among the ranks of a job -----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Ranks.h"

#include <charconv>
#include <cstdlib>
#include <fmt/ranges.h>
#include <vector>

using namespace qrt;

namespace {

constexpr int kMaxRanks = 1 << 20;

/// The variables of one launcher. A set is complete with `rank`, `ranks` and
/// all of `further`.
struct Launcher {
  const char *name;
  const char *rank, *ranks;
  std::vector<const char *> further;
  const char *localRank, *localRanks; ///< may be absent
  const char *address, *port;         ///< of rank 0; `port` null: in `address`
};

const std::vector<Launcher> &launchers() {
  static const std::vector<Launcher> list = {
      {"torchrun",
       "RANK",
       "WORLD_SIZE",
       {"MASTER_ADDR", "MASTER_PORT"},
       "LOCAL_RANK",
       "LOCAL_WORLD_SIZE",
       "MASTER_ADDR",
       "MASTER_PORT"},
      {"Open MPI",
       "OMPI_COMM_WORLD_RANK",
       "OMPI_COMM_WORLD_SIZE",
       {},
       "OMPI_COMM_WORLD_LOCAL_RANK",
       "OMPI_COMM_WORLD_LOCAL_SIZE",
       nullptr,
       nullptr},
      {"SLURM",
       "SLURM_PROCID",
       "SLURM_NTASKS",
       {},
       "SLURM_LOCALID",
       "SLURM_NTASKS_PER_NODE",
       "QWEN_RENDEZVOUS",
       nullptr},
      // An indexed job knows its index; the rest is given in its template.
      {"Kubernetes",
       "JOB_COMPLETION_INDEX",
       "JOB_COMPLETIONS",
       {"QWEN_RENDEZVOUS"},
       nullptr,
       nullptr,
       "QWEN_RENDEZVOUS",
       nullptr},
  };
  return list;
}

Expected<int> parseNumber(const char *text, const char *name, int low,
                          int high) {
  std::string_view digits = text;
  int value = 0;
  auto [end, failure] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (failure != std::errc() || end != digits.data() + digits.size() ||
      value < low || value > high)
    return makeError(9004, "", "{}={} is no whole number from {} to {}", name,
                     text, low, high);
  return value;
}

Status checkRank(int rank, int ranks, const char *rankName,
                 const char *ranksName) {
  if (rank >= ranks)
    return makeError(9004, "", "{}={} is not below {}={}", rankName, rank,
                     ranksName, ranks);
  return Status::success();
}

} // namespace

Expected<std::optional<RankInfo>> qrt::findRanks(const RankFlags &flags,
                                                 const ReadVariable &read) {
  auto variable = [&](const char *name) -> const char * {
    const char *value = !name ? nullptr : read ? read(name) : std::getenv(name);
    return value && *value ? value : nullptr;
  };
  std::optional<RankInfo> found;
  std::vector<std::string> incomplete; // "NAME is set, but not OTHER"
  bool someFlags = flags.rank || flags.ranks || !flags.rendezvous.empty();
  if (flags.rank && flags.ranks) {
    QRT_RETURN_IF_ERROR(
        checkRank(*flags.rank, *flags.ranks, "--rank", "--ranks"));
    found =
        RankInfo{*flags.rank, *flags.ranks, 0, 0, flags.rendezvous, "flags"};
  } else if (someFlags) {
    incomplete.push_back(fmt::format("{} without {}",
                                     flags.rank    ? "--rank"
                                     : flags.ranks ? "--ranks"
                                                   : "--rendezvous",
                                     flags.rank    ? "--ranks"
                                     : flags.ranks ? "--rank"
                                                   : "--rank and --ranks"));
  }

  for (const Launcher &launcher : launchers()) {
    std::vector<std::string> set, unset;
    std::vector<const char *> names = {launcher.rank, launcher.ranks};
    names.insert(names.end(), launcher.further.begin(), launcher.further.end());
    for (const char *name : names)
      (variable(name) ? set : unset).push_back(name);
    // An address alone may be meant for others.
    if (!variable(launcher.rank) && !variable(launcher.ranks))
      continue;
    if (!unset.empty()) {
      incomplete.push_back(fmt::format("{} ({}) without {}",
                                       fmt::join(set, ", "), launcher.name,
                                       fmt::join(unset, ", ")));
      continue;
    }
    RankInfo info;
    info.source = launcher.name;
    QRT_ASSIGN_OR_RETURN(info.ranks, parseNumber(variable(launcher.ranks),
                                                 launcher.ranks, 1, kMaxRanks));
    QRT_ASSIGN_OR_RETURN(info.rank, parseNumber(variable(launcher.rank),
                                                launcher.rank, 0, kMaxRanks));
    QRT_RETURN_IF_ERROR(
        checkRank(info.rank, info.ranks, launcher.rank, launcher.ranks));
    if (const char *local = variable(launcher.localRank)) {
      QRT_ASSIGN_OR_RETURN(
          info.localRank, parseNumber(local, launcher.localRank, 0, kMaxRanks));
    }
    if (const char *local = variable(launcher.localRanks)) {
      QRT_ASSIGN_OR_RETURN(
          info.localRanks,
          parseNumber(local, launcher.localRanks, 1, kMaxRanks));
    }
    if (const char *address = variable(launcher.address)) {
      info.rendezvous = address;
      if (const char *port = variable(launcher.port)) {
        QRT_ASSIGN_OR_RETURN(int number,
                             parseNumber(port, launcher.port, 1, 65535));
        info.rendezvous += fmt::format(":{}", number);
      }
    }
    // The flags may complete what a launcher does not say, not contradict it.
    if ((flags.rank && *flags.rank != info.rank) ||
        (flags.ranks && *flags.ranks != info.ranks))
      return makeError(
          9003, "", "the flags {}{} contradict {}={} and {}={} of {}",
          flags.rank ? fmt::format("--rank {}", *flags.rank) : "",
          flags.ranks
              ? fmt::format("{}--ranks {}", flags.rank ? " " : "", *flags.ranks)
              : "",
          launcher.rank, info.rank, launcher.ranks, info.ranks, launcher.name);
    if (!flags.rendezvous.empty())
      info.rendezvous = flags.rendezvous;
    if (found) {
      found->localRank = info.localRank;
      found->localRanks = info.localRanks;
      if (found->rendezvous.empty())
        found->rendezvous = info.rendezvous;
    }
    if (!found)
      found = std::move(info);
    break;
  }
  if (!found && !incomplete.empty())
    return makeError(9002, "",
                     "the ranks of this job are said incompletely: {}; give "
                     "--rank and --ranks, start with a launcher, or run alone "
                     "with --comm single or threads",
                     fmt::join(incomplete, "; "));
  return found;
}
