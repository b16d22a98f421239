//===- Remote.cpp - Sessions of other processes ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/mesh/Remote.h"

#include <csignal>
#include <cstdio>
#include <cstring>

using namespace qrt;
using nlohmann::json;

namespace {

/// How a command went on one rank.
struct Report {
  int32_t code = -1; ///< -1: well
  char where[400] = "";
  char message[1600] = "";
};

Report reportOf(const Status &status) {
  Report report;
  if (status)
    return report;
  report.code = status.error().code;
  std::snprintf(report.where, sizeof report.where, "%s",
                status.error().where.c_str());
  std::snprintf(report.message, sizeof report.message, "%s",
                status.error().message.c_str());
  return report;
}

struct Sizes {
  int64_t command = 0, payload = 0;
};

/// The commands of rank 0 on this process's device.
class Worker {
public:
  explicit Worker(DeviceGroup &group)
      : group(group), channel(*group.control()) {}

  /// Returns when rank 0 says so, or with why it cannot be heard.
  Status run() {
    for (;;) {
      Sizes sizes;
      QRT_RETURN_IF_ERROR(channel.broadcast(&sizes, sizeof sizes));
      std::string text(sizes.command, '\0'), payload(sizes.payload, '\0');
      QRT_RETURN_IF_ERROR(channel.broadcast(text.data(), sizes.command));
      if (sizes.payload > 0)
        QRT_RETURN_IF_ERROR(channel.broadcast(payload.data(), sizes.payload));
      json command = json::parse(text);
      if (command["do"] == "end")
        return Status::success();
      Status status = execute(command, payload);
      // Others may wait in collectives for this rank.
      if (!status && command["do"] == "call")
        return status;
      Report report = reportOf(status);
      QRT_RETURN_IF_ERROR(channel.gather(&report, sizeof report, nullptr));
      // Replies follow only when all ranks have done well; rank 0 asks then.
    }
  }

private:
  Status execute(const json &command, const std::string &payload) {
    const std::string what = command["do"];
    int id = command.value("session", 0);
    if (what == "open") {
      QRT_ASSIGN_OR_RETURN(
          sessions[id],
          RankSession::create(
              group.module(), group.device(0),
              command["entries"].get<std::vector<std::string>>()));
      return Status::success();
    }
    if (what == "close") {
      sessions.erase(id);
      return Status::success();
    }
    RankSession &rank = *sessions.at(id);
    if (what == "call")
      return call(rank, command, payload);
    if (what == "output") {
      int entry = command["entry"], arg = command["arg"];
      return channel.gather(rank.outputBlock(entry, arg), command["bytes"],
                            nullptr);
    }
    if (what == "load") {
      QRT_ASSIGN_OR_RETURN(auto source, WeightSource::open(command["weights"]));
      std::vector<StateSet> sets;
      for (const json &set : command["sets"])
        sets.push_back({set["prefix"], kindOf(set["kind"])});
      return rank.load(*source, sets);
    }
    if (what == "read") {
      StateKind kind = kindOf(command["kind"]);
      int parameter = command["parameter"];
      MatrixBlock block = rank.stateBlock(kind, parameter);
      std::vector<float> values(block.rows * block.cols);
      QRT_RETURN_IF_ERROR(
          rank.readState(kind, parameter, command["layer"], values.data()));
      return channel.gather(values.data(),
                            static_cast<int64_t>(values.size() * 4), nullptr);
    }
    if (what == "clear gradients")
      return rank.session().clearGradients();
    if (what == "clear caches")
      return rank.session().clearCaches();
    if (what == "convert")
      return rank.session().convertStorages();
    return makeError(9021, "", "unknown command '{}' of rank 0", what);
  }

  Status call(RankSession &rank, const json &command,
              const std::string &payload) {
    CallRequest request;
    request.entry = command["entry"];
    request.extents = command["extents"].get<std::vector<int64_t>>();
    size_t args = rank.session().manifest().entries[request.entry].args.size();
    request.inputs.assign(args, nullptr);
    request.outputs.assign(args, nullptr);
    int64_t at = 0;
    for (const json &input : command["inputs"]) {
      request.inputs[input[0].get<size_t>()] = payload.data() + at;
      at += input[1].get<int64_t>();
    }
    QRT_RETURN_IF_ERROR(rank.start(request));
    return rank.session().synchronize();
  }

  static StateKind kindOf(const json &kind) {
    return {static_cast<ArgRole>(kind[0].get<int>()), kind[1]};
  }

  DeviceGroup &group;
  ControlChannel &channel;
  std::map<int, std::unique_ptr<RankSession>> sessions;
};

} // namespace

json qrt::toJson(const StateKind &kind) {
  return {static_cast<int>(kind.role), kind.storage};
}

Status RemoteRanks::send(const json &command, const std::string &payload) {
  ControlChannel *channel = group.control();
  std::string text = command.dump();
  Sizes sizes{static_cast<int64_t>(text.size()),
              static_cast<int64_t>(payload.size())};
  QRT_RETURN_IF_ERROR(channel->broadcast(&sizes, sizeof sizes));
  QRT_RETURN_IF_ERROR(channel->broadcast(text.data(), sizes.command));
  if (sizes.payload > 0)
    QRT_RETURN_IF_ERROR(
        channel->broadcast(const_cast<char *>(payload.data()), sizes.payload));
  return Status::success();
}

Status RemoteRanks::collect(Status mine) {
  ControlChannel *channel = group.control();
  std::vector<Report> reports(channel->ranks());
  Report report = reportOf(mine);
  QRT_RETURN_IF_ERROR(channel->gather(&report, sizeof report, reports.data()));
  if (!mine)
    return mine;
  for (size_t rank = 0; rank < reports.size(); ++rank)
    if (reports[rank].code >= 0)
      return makeError(reports[rank].code, reports[rank].where, "rank {}: {}",
                       rank, reports[rank].message);
  return Status::success();
}

Status RemoteRanks::gather(const void *mine, int64_t bytes,
                           std::vector<char> &all) {
  ControlChannel *channel = group.control();
  all.resize(bytes * channel->ranks());
  return channel->gather(mine, bytes, all.data());
}

int qrt::serveCommands(DeviceGroup &group) {
  // Rank 0 decides when the job ends; a terminal's signal reaches all.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, SIG_IGN);
  ControlChannel *channel = group.control();
  Status status = Worker(group).run();
  if (!status) {
    std::fprintf(stderr, "%s: rank %d failed\n", status.error().str().c_str(),
                 channel->rank());
    channel->abort(1);
  }
  return channel->finish() ? 0 : 1;
}
