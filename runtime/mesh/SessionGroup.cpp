//===- SessionGroup.cpp - A session on all devices of a mesh --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/mesh/SessionGroup.h"
#include "runtime/mesh/Remote.h"

#include <algorithm>

using namespace qrt;
using nlohmann::json;

Expected<std::unique_ptr<SessionGroup>>
SessionGroup::create(DeviceGroup &group,
                     const std::vector<std::string> &entries) {
  std::unique_ptr<SessionGroup> session(new SessionGroup(group));
  session->ranks.resize(group.lanes());
  session->id = group.newSession();
  auto open = [&](int lane) -> Status {
    QRT_ASSIGN_OR_RETURN(
        session->ranks[lane],
        RankSession::create(group.module(), group.device(lane), entries));
    return Status::success();
  };
  if (!group.control()) {
    QRT_RETURN_IF_ERROR(group.forEach(open, false));
    return session;
  }
  RemoteRanks others(group);
  QRT_RETURN_IF_ERROR(others.send(
      {{"do", "open"}, {"session", session->id}, {"entries", entries}}));
  QRT_RETURN_IF_ERROR(others.collect(group.forEach(open, false)));
  return session;
}

SessionGroup::~SessionGroup() {
  if (!devices.control())
    return;
  RemoteRanks others(devices);
  if (others.send({{"do", "close"}, {"session", id}}))
    (void)others.collect(Status::success());
}

Status
SessionGroup::everywhere(json command,
                         const std::function<Status(RankSession &)> &task) {
  auto onLane = [&](int lane) { return task(*ranks[lane]); };
  if (!devices.control())
    return devices.forEach(onLane, true);
  command["session"] = id;
  RemoteRanks others(devices);
  QRT_RETURN_IF_ERROR(others.send(command));
  return others.collect(devices.forEach(onLane, false));
}

Status SessionGroup::clearGradients() {
  return everywhere({{"do", "clear gradients"}}, [](RankSession &rank) {
    return rank.session().clearGradients();
  });
}

Status SessionGroup::clearCaches() {
  return everywhere({{"do", "clear caches"}}, [](RankSession &rank) {
    return rank.session().clearCaches();
  });
}

Status SessionGroup::load(const WeightSource &source,
                          const std::vector<StateSet> &sets) {
  json list = json::array();
  for (const StateSet &set : sets)
    list.push_back({{"prefix", set.prefix}, {"kind", toJson(set.kind)}});
  copies.clear();
  return everywhere(
      {{"do", "load"}, {"weights", source.description()}, {"sets", list}},
      [&](RankSession &rank) { return rank.load(source, sets); });
}

Status SessionGroup::loadWeights(const WeightSource &source) {
  const auto &parameters = manifest().parameters;
  bool masters = true;
  std::vector<std::string> storages;
  for (size_t p = 0; p < parameters.size(); ++p) {
    masters &= hasState({ArgRole::Parameter, "master"}, static_cast<int>(p));
    for (const auto &[storage, type] : parameters[p].storages)
      // Scales and steps come with the numbers they belong to.
      if (storage.find("_scale") == std::string::npos &&
          storage.find("_step") == std::string::npos &&
          hasState({ArgRole::Parameter, storage}, static_cast<int>(p)) &&
          std::find(storages.begin(), storages.end(), storage) ==
              storages.end())
        storages.push_back(storage);
  }
  if (masters) {
    QRT_RETURN_IF_ERROR(load(source, {{"", {ArgRole::Parameter, "master"}}}));
    return everywhere({{"do", "convert"}}, [](RankSession &rank) {
      return rank.session().convertStorages();
    });
  }
  // All at once: what a load does not fill it clears.
  std::vector<StateSet> sets;
  for (const std::string &storage : storages)
    sets.push_back({"", {ArgRole::Parameter, storage}});
  return load(source, sets);
}

bool SessionGroup::hasState(const StateKind &kind, int parameter) const {
  return ranks[0]->session().stateInfo(kind, parameter) != nullptr;
}

Expected<const float *> SessionGroup::readState(const StateKind &kind,
                                                int parameter, int64_t layer) {
  Session &mine = first();
  const ArgInfo *info = mine.stateInfo(kind, parameter);
  if (!info || info->dtype != DType::F32)
    return makeError(6018, module().path(),
                     "the {} of parameter '{}' cannot be read as f32",
                     nameOf(kind.role), manifest().parameters[parameter].name);
  int64_t count = manifest().parameters[parameter].elementsPerLayer();
  if (devices.mesh().ranks() == 1 && device().sharesHostMemory())
    return static_cast<const float *>(mine.state(kind, parameter)) +
           layer * count;
  for (const Copy &copy : copies)
    if (copy.kind.role == kind.role && copy.kind.storage == kind.storage &&
        copy.parameter == parameter && copy.layer == layer)
      return copy.values.data();
  Copy copy{kind, parameter, layer, {}};
  if (copies.size() == 3) {
    copy.values = std::move(copies.front().values);
    copies.pop_front();
  }
  copy.values.resize(count);
  QRT_RETURN_IF_ERROR(gatherState(kind, parameter, layer, copy.values));
  copies.push_back(std::move(copy));
  return copies.back().values.data();
}

Status SessionGroup::gatherState(const StateKind &kind, int parameter,
                                 int64_t layer, std::vector<float> &to) {
  const Mesh &mesh = devices.mesh();
  const ArgInfo &info = *first().stateInfo(kind, parameter);
  const ParameterInfo &matrix = manifest().parameters[parameter];
  int64_t cols = matrix.shape.size() > 1 ? matrix.shape[1] : 1;
  auto place = [&](int rank, const float *values) {
    MatrixBlock block = matrixBlockOf(mesh, rank, info, matrix);
    bool isFirst = mesh.indexOn(rank, info.partial) == 0;
    for (int64_t row = 0; row < block.rows; ++row) {
      float *out = to.data() + (block.row + row) * cols + block.col;
      const float *in = values + row * block.cols;
      for (int64_t col = 0; col < block.cols; ++col)
        out[col] = isFirst ? in[col] : out[col] + in[col];
    }
  };
  MatrixBlock mine = matrixBlockOf(mesh, devices.rankOf(0), info, matrix);
  std::vector<float> block(mine.rows * mine.cols);
  if (!devices.control()) {
    for (int lane = 0; lane < devices.lanes(); ++lane) {
      if (!ownsBlock(mesh, devices.rankOf(lane), info))
        continue;
      QRT_RETURN_IF_ERROR(
          ranks[lane]->readState(kind, parameter, layer, block.data()));
      place(devices.rankOf(lane), block.data());
    }
    return Status::success();
  }
  RemoteRanks others(devices);
  QRT_RETURN_IF_ERROR(others.send({{"do", "read"},
                                   {"session", id},
                                   {"kind", toJson(kind)},
                                   {"parameter", parameter},
                                   {"layer", layer}}));
  Status status = ranks[0]->readState(kind, parameter, layer, block.data());
  std::vector<char> all;
  auto bytes = static_cast<int64_t>(block.size() * sizeof(float));
  QRT_RETURN_IF_ERROR(others.gather(block.data(), bytes, all));
  QRT_RETURN_IF_ERROR(others.collect(std::move(status)));
  for (int rank = 0; rank < mesh.ranks(); ++rank)
    if (ownsBlock(mesh, rank, info))
      place(rank, reinterpret_cast<const float *>(all.data() + rank * bytes));
  return Status::success();
}

Expected<GroupCall> SessionGroup::prepare(std::string_view name) {
  // Tells what is wrong with a name.
  QRT_ASSIGN_OR_RETURN(EntryCall known, first().prepare(name));
  (void)known;
  GroupCall call;
  call.session = this;
  call.index = manifest().findEntry(name);
  call.entry = &manifest().entries[call.index];
  call.inputs.assign(call.entry->args.size(), nullptr);
  call.outputs.assign(call.entry->args.size(), nullptr);
  for (const ExtentInfo &extent : call.entry->extents)
    call.extents.push_back(extent.max);
  return call;
}

void GroupCall::bindInput(std::string_view name, const void *data) {
  if (const ArgInfo *arg = entry->findArg(ArgRole::Input, name))
    inputs[arg - entry->args.data()] = data;
}

void GroupCall::bindOutput(std::string_view name, void *data) {
  if (const ArgInfo *arg = entry->findArg(ArgRole::Output, name))
    outputs[arg - entry->args.data()] = data;
}

void GroupCall::setExtent(std::string_view name, int64_t value) {
  if (int extent = entry->findExtent(name); extent >= 0)
    extents[extent] = value;
}

Status GroupCall::check() const {
  for (size_t i = 0; i < extents.size(); ++i)
    QRT_RETURN_IF_ERROR(entry->extents[i].check(entry->name, extents[i]));
  for (size_t i = 0; i < entry->args.size(); ++i) {
    ArgRole role = entry->args[i].role;
    if ((role == ArgRole::Input && !inputs[i] && !entry->args[i].optional) ||
        (role == ArgRole::Output && !outputs[i]))
      return makeError(6030, "", "entry point '{}' needs the {} '{}'",
                       entry->name, nameOf(role), entry->args[i].name);
  }
  return Status::success();
}

Status GroupCall::callAll(const CallRequest &request) {
  DeviceGroup &devices = session->devices;
  // Only the first device writes to the caller's memory.
  CallRequest other = request;
  std::fill(other.outputs.begin(), other.outputs.end(), nullptr);
  auto onLane = [&](int lane) -> Status {
    RankSession &rank = *session->ranks[lane];
    QRT_RETURN_IF_ERROR(rank.start(lane == 0 ? request : other));
    return rank.session().synchronize();
  };
  if (!devices.control())
    return devices.forEach(onLane, true);
  json command = {{"do", "call"},
                  {"session", session->id},
                  {"entry", index},
                  {"extents", extents},
                  {"inputs", json::array()}};
  std::string payload;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i])
      continue;
    const ArgInfo &arg = entry->args[i];
    int64_t bytes = entry->elements(arg, extents.data()) * bytesOf(arg.dtype);
    command["inputs"].push_back({i, bytes});
    payload.append(static_cast<const char *>(inputs[i]), bytes);
  }
  RemoteRanks others(devices);
  QRT_RETURN_IF_ERROR(others.send(command, payload));
  if (Status status = devices.forEach(onLane, true); !status) {
    devices.abandon();
    return status;
  }
  return others.collect(Status::success());
}

/// Puts the blocks of an output that is cut into the caller's tensor.
Status GroupCall::collectOutput(int arg) {
  DeviceGroup &devices = session->devices;
  const EntryInfo &local = session->module().manifest().entries[index];
  const ArgInfo &info = local.args[arg];
  int64_t width = bytesOf(info.dtype);
  auto blockOfRank = [&](int rank) {
    return blockOf(devices.mesh(), rank, local, info, extents);
  };
  if (!devices.control()) {
    for (int lane = 0; lane < devices.lanes(); ++lane)
      putBlock(blockOfRank(devices.rankOf(lane)),
               session->ranks[lane]->outputBlock(index, arg), outputs[arg],
               width);
    return Status::success();
  }
  int64_t bytes = blockOfRank(0).elements() * width;
  RemoteRanks others(devices);
  QRT_RETURN_IF_ERROR(others.send({{"do", "output"},
                                   {"session", session->id},
                                   {"entry", index},
                                   {"arg", arg},
                                   {"bytes", bytes}}));
  std::vector<char> all;
  QRT_RETURN_IF_ERROR(
      others.gather(session->ranks[0]->outputBlock(index, arg), bytes, all));
  QRT_RETURN_IF_ERROR(others.collect(Status::success()));
  for (int rank = 0; rank < devices.mesh().ranks(); ++rank)
    putBlock(blockOfRank(rank), all.data() + rank * bytes, outputs[arg], width);
  return Status::success();
}

Status GroupCall::run() {
  if (session->devices.mesh().ranks() == 1) {
    QRT_RETURN_IF_ERROR(start());
    return session->synchronize();
  }
  QRT_RETURN_IF_ERROR(check());
  session->copies.clear();
  QRT_RETURN_IF_ERROR(callAll({index, extents, inputs, outputs}));
  const EntryInfo &local = session->module().manifest().entries[index];
  for (size_t i = 0; i < local.args.size(); ++i)
    if (local.args[i].role == ArgRole::Output && local.args[i].isSharded())
      QRT_RETURN_IF_ERROR(collectOutput(static_cast<int>(i)));
  return Status::success();
}

Status GroupCall::start() {
  if (session->devices.mesh().ranks() > 1)
    return run();
  QRT_RETURN_IF_ERROR(check());
  session->copies.clear();
  return session->ranks[0]->start({index, extents, inputs, outputs});
}
