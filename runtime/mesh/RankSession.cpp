//===- RankSession.cpp - One rank's part of a session ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/mesh/RankSession.h"
#include "runtime/core/HostState.h"

#include <deque>

using namespace qrt;

Expected<std::unique_ptr<RankSession>>
RankSession::create(std::shared_ptr<const Module> module, Device &device,
                    const std::vector<std::string> &entries) {
  std::unique_ptr<RankSession> result(new RankSession);
  QRT_ASSIGN_OR_RETURN(result->local,
                       Session::create(std::move(module), device, entries));
  return result;
}

TensorBlock RankSession::blockOf(int entry, int arg,
                                 const std::vector<int64_t> &extents) const {
  const EntryInfo &info = local->manifest().entries[entry];
  Device &device = local->device();
  return qrt::blockOf(device.mesh(), device.rank(), info, info.args[arg],
                      extents);
}

Status RankSession::start(const CallRequest &request) {
  const Manifest &manifest = local->manifest();
  const EntryInfo &entry = manifest.entries[request.entry];
  auto it = calls.find(request.entry);
  if (it == calls.end()) {
    QRT_ASSIGN_OR_RETURN(EntryCall call, local->prepare(entry.name));
    it = calls.emplace(request.entry, Call(std::move(call))).first;
    it->second.buffers.resize(entry.args.size());
    it->second.outputs.resize(entry.args.size());
  }
  Call &call = it->second;
  std::vector<int64_t> extents = localExtents(manifest, entry, request.extents);
  for (size_t i = 0; i < extents.size(); ++i)
    call.call.setExtent(entry.extents[i].name, extents[i]);
  for (size_t i = 0; i < entry.args.size(); ++i) {
    const ArgInfo &arg = entry.args[i];
    if (arg.role != ArgRole::Input && arg.role != ArgRole::Output)
      continue;
    int64_t width = bytesOf(arg.dtype);
    bool isInput = arg.role == ArgRole::Input;
    if (!arg.isSharded() && (isInput ? request.inputs[i] != nullptr
                                     : request.outputs[i] != nullptr)) {
      if (isInput)
        call.call.bindInput(arg.name, request.inputs[i]);
      else
        call.call.bindOutput(
            arg.name, const_cast<void *>(call.outputs[i] = request.outputs[i]));
      continue;
    }
    if (isInput && !request.inputs[i]) {
      call.call.bindInput(arg.name, nullptr); // an optional one
      continue;
    }
    TensorBlock block =
        blockOf(request.entry, static_cast<int>(i), request.extents);
    std::vector<char> &buffer = call.buffers[i];
    buffer.resize(std::max<int64_t>(block.elements() * width, 1));
    if (!isInput) {
      call.outputs[i] = buffer.data();
      call.call.bindOutput(arg.name, buffer.data());
    } else {
      // Rows that are nobody's have no targets.
      constexpr int32_t kNoTarget = -1;
      bool isTargets = arg.name == "targets" && arg.dtype == DType::I32;
      takeBlock(block, request.inputs[i], buffer.data(), width,
                isTargets ? &kNoTarget : nullptr);
      call.call.bindInput(arg.name, buffer.data());
    }
  }
  return call.call.start();
}

const void *RankSession::outputBlock(int entry, int arg) const {
  return calls.at(entry).outputs[arg];
}

MatrixBlock RankSession::stateBlock(const StateKind &kind, int index) const {
  Device &device = local->device();
  return matrixBlockOf(device.mesh(), device.rank(),
                       *local->stateInfo(kind, index),
                       local->manifest().parameters[index]);
}

char *RankSession::layerOf(const StateKind &kind, int index,
                           int64_t layer) const {
  const ArgInfo *info = local->stateInfo(kind, index);
  if (!info)
    return nullptr;
  int64_t elements = 1;
  for (const DimInfo &dim : info->shape)
    elements *= dim.size;
  return static_cast<char *>(local->state(kind, index)) +
         layer * elements * bytesOf(info->dtype);
}

Status RankSession::load(const WeightSource &source,
                         const std::vector<StateSet> &sets) {
  const auto &parameters = local->manifest().parameters;
  // One writer a kind of memory; what it does not fill it clears.
  std::map<std::string, StateWriter> writers;
  std::vector<TargetSet> targets;
  // Scales and steps are written with the numbers they belong to.
  auto isQuantized = [](const StateKind &kind) {
    return kind.storage == "int8" || kind.storage == "int4";
  };
  for (const StateSet &set : sets) {
    bool onlyMasters = set.kind.storage == "master";
    std::string memory = set.kind.role != ArgRole::Parameter
                             ? std::string(nameOf(set.kind.role))
                         : onlyMasters ? "parameter.master"
                                       : "parameter.";
    auto it = writers.find(memory);
    if (it == writers.end()) {
      QRT_ASSIGN_OR_RETURN(StateWriter writer,
                           StateWriter::create(*local, memory));
      it = writers.emplace(memory, std::move(writer)).first;
    }
    const StateWriter &writer = it->second;
    for (size_t p = 0; p < parameters.size(); ++p) {
      const ArgInfo *info = local->stateInfo(set.kind, static_cast<int>(p));
      if (info && info->dtype != DType::F32 && info->dtype != DType::BF16 &&
          !isQuantized(set.kind))
        return makeError(6018, local->module().path(),
                         "storage '{}' has type {}, which this qwen-rt cannot "
                         "fill",
                         set.kind.storage, nameOf(info->dtype));
    }
    targets.push_back(
        {set.prefix, [=, &writer, &set](size_t p, int64_t layer) {
           ParameterTarget target;
           int index = static_cast<int>(p);
           const ArgInfo *info = local->stateInfo(set.kind, index);
           if (!info)
             return target;
           MatrixBlock block = stateBlock(set.kind, index);
           if (info->isSharded())
             target.block = block;
           target.dtype = info->dtype;
           if (!isQuantized(set.kind)) {
             target.data = writer.hostAddress(layerOf(set.kind, index, layer));
             return target;
           }
           auto part = [&](const char *suffix) {
             return writer.hostAddress(
                 layerOf({ArgRole::Parameter, set.kind.storage + suffix}, index,
                         layer));
           };
           target.quantized = {block.cols,
                               reinterpret_cast<int8_t *>(part("")),
                               reinterpret_cast<float *>(part("_scale")),
                               reinterpret_cast<int8_t *>(part("_step")),
                               parameters[p].shape.back(),
                               block.col};
           return target;
         }});
  }
  QRT_RETURN_IF_ERROR(loadTargetSets(source, parameters, targets,
                                     parallelTasks(local->device())));
  for (auto &[memory, writer] : writers)
    QRT_RETURN_IF_ERROR(writer.finish());
  return Status::success();
}

Status RankSession::readState(const StateKind &kind, int index, int64_t layer,
                              float *to) {
  MatrixBlock block = stateBlock(kind, index);
  int64_t count = block.rows * block.cols;
  const auto *base = static_cast<const float *>(local->state(kind, index));
  QRT_RETURN_IF_ERROR(
      local->device().download(to, base + layer * count, count * 4));
  return local->device().synchronize();
}
