//===- TrainStep.cpp - One optimizer step ---------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/TrainStep.h"

#include <cmath>

using namespace qrt;

Expected<StepBatch> StepBatch::fetch(Batches &data, int64_t first, int64_t rows,
                                     int64_t sequence, int64_t accumulate,
                                     bool documents) {
  StepBatch batch;
  batch.rows = rows;
  batch.sequence = sequence;
  batch.accumulate = accumulate;
  // All micro steps at once: the loss is a mean over the targets of the whole
  // step, so their number must be known to the first backward pass.
  int64_t size = rows * accumulate * sequence;
  batch.tokens.resize(size);
  batch.targets.resize(size);
  if (documents)
    batch.documents.resize(size);
  QRT_RETURN_IF_ERROR(
      data.fetch(first, rows * accumulate,
                 {batch.tokens.data(), batch.targets.data(),
                  documents ? batch.documents.data() : nullptr}));
  for (int32_t target : batch.targets)
    batch.count += target >= 0;
  return batch;
}

const char *qrt::lastMicroStep(const Manifest &manifest) {
  constexpr const char *kLast = "last_micro_step";
  return manifest.findEntry(kLast) >= 0 ? kLast : "micro_step";
}

Expected<double> SessionStep::accumulate(const StepBatch &batch) {
  auto inverse = static_cast<float>(1.0 / double(batch.count));
  QRT_ASSIGN_OR_RETURN(GroupCall all, session.prepare("micro_step"));
  QRT_ASSIGN_OR_RETURN(GroupCall last,
                       session.prepare(lastMicroStep(session.manifest())));
  std::vector<float> losses(batch.accumulate);
  int64_t size = batch.rows * batch.sequence;
  for (int64_t i = 0; i < batch.accumulate; ++i) {
    GroupCall &micro = i + 1 < batch.accumulate ? all : last;
    micro.bindInput("inv_count", &inverse);
    micro.setExtent("batch", batch.rows);
    micro.setExtent("sequence", batch.sequence);
    micro.bindInput("tokens", batch.tokens.data() + i * size);
    micro.bindInput("targets", batch.targets.data() + i * size);
    if (!batch.documents.empty())
      micro.bindInput("documents", batch.documents.data() + i * size);
    micro.bindOutput("loss", &losses[i]);
    QRT_RETURN_IF_ERROR(micro.start());
  }
  QRT_RETURN_IF_ERROR(session.synchronize());
  double nats = 0;
  for (float loss : losses)
    nats += loss;
  return nats;
}

Expected<double> SessionStep::gradientNorm() {
  double squares = 0;
  const auto &parameters = session.manifest().parameters;
  for (size_t p = 0; p < parameters.size(); ++p) {
    auto index = static_cast<int>(p);
    StateKind kind{ArgRole::GradientSum, ""};
    if (!session.hasState(kind, index))
      kind.role = ArgRole::Gradient;
    for (int64_t layer = 0; layer < parameters[p].layerCount(); ++layer) {
      QRT_ASSIGN_OR_RETURN(const float *gradient,
                           session.readState(kind, index, layer));
      for (int64_t i = 0, n = parameters[p].elementsPerLayer(); i < n; ++i)
        squares += double(gradient[i]) * double(gradient[i]);
    }
  }
  return std::sqrt(squares);
}

Expected<UpdateResult> SessionStep::update(const std::vector<float> &hyper,
                                           bool skip) {
  int32_t skipFlag = skip, nonfinite = 0;
  float norm = 0;
  QRT_ASSIGN_OR_RETURN(GroupCall call, session.prepare("optimizer_step"));
  call.bindInput("hyper", hyper.data());
  call.bindInput("skip", &skipFlag);
  call.bindOutput("grad_norm", &norm);
  call.bindOutput("nonfinite", &nonfinite);
  QRT_RETURN_IF_ERROR(call.run());
  return UpdateResult{norm, nonfinite == 0};
}
