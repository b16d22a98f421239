//===- CheckpointSaver.cpp - Saving while training goes on ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/CheckpointSaver.h"

#include <cstring>

using namespace qrt;

CheckpointSaver::~CheckpointSaver() {
  if (worker.joinable())
    worker.join();
}

/// Lets `data` point to a copy of the state. False without memory for it, or if
/// the state cannot be read.
bool CheckpointSaver::copyState(CheckpointData &data) {
  const auto &parameters = *data.parameters;
  offsets.assign(1, 0);
  for (const ParameterInfo &parameter : parameters)
    offsets.push_back(offsets.back() + parameter.elements());
  int64_t bytes = offsets.back() * static_cast<int64_t>(sizeof(float));
  ConstParameterPointer *sources[] = {&data.weights, &data.moment1,
                                      &data.moment2};
  for (size_t i = 0; i < copies.size(); ++i) {
    ConstParameterPointer &source = *sources[i];
    if (!source)
      continue;
    if (copies[i].size() < bytes) {
      auto buffer = Buffer::allocate(bytes, "the copy for a checkpoint");
      if (!buffer)
        return false;
      copies[i] = std::move(*buffer);
    }
    auto *to = reinterpret_cast<float *>(copies[i].data());
    for (size_t p = 0; p < parameters.size(); ++p) {
      if (i == 2 && parameters[p].moments < 2)
        continue;
      int64_t size = parameters[p].elementsPerLayer();
      for (int64_t layer = 0; layer < parameters[p].layerCount(); ++layer) {
        auto matrix = source(p, layer);
        if (!matrix)
          return false;
        std::memcpy(to + offsets[p] + layer * size, *matrix,
                    static_cast<size_t>(size) * sizeof(float));
      }
    }
    source = [this, to, &parameters](size_t p, int64_t layer) -> const float * {
      return to + offsets[p] + layer * parameters[p].elementsPerLayer();
    };
  }
  return true;
}

void CheckpointSaver::write(const CheckpointData &data, bool best) {
  Outcome result;
  result.step = data.trainer.step;
  auto run = [&]() -> Status {
    QRT_ASSIGN_OR_RETURN(std::string name, saveCheckpoint(options.out, data));
    if (best)
      QRT_RETURN_IF_ERROR(linkCheckpoint(options.out, "best", name));
    QRT_RETURN_IF_ERROR(
        pruneCheckpoints(options.out, options.keep, options.keepEvery));
    result.name = name;
    return Status::success();
  };
  result.status = run();
  outcome = std::move(result);
  ended.store(true, std::memory_order_release);
}

void CheckpointSaver::save(CheckpointData data, bool best, bool background) {
  if (worker.joinable())
    worker.join();
  ended.store(false, std::memory_order_relaxed);
  if (!background || !copyState(data)) {
    write(data, best);
    return;
  }
  worker =
      std::thread([this, data = std::move(data), best] { write(data, best); });
}

std::optional<CheckpointSaver::Outcome> CheckpointSaver::poll() {
  if (!ended.load(std::memory_order_acquire))
    return std::nullopt;
  return wait();
}

std::optional<CheckpointSaver::Outcome> CheckpointSaver::wait() {
  if (worker.joinable())
    worker.join();
  ended.store(false, std::memory_order_relaxed);
  std::optional<Outcome> result = std::move(outcome);
  outcome.reset();
  return result;
}
