//===- Trainer.cpp - The training loop ------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Trainer.h"
#include "runtime/core/Signals.h"

#include <chrono>
#include <cmath>
#include <cstring>

using namespace qrt;
using nlohmann::json;

namespace {

double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

json orNull(std::optional<double> value) {
  return value && std::isfinite(*value) ? json(*value) : json(nullptr);
}

} // namespace

std::vector<std::string> Trainer::entries(const Manifest &manifest) {
  std::vector<std::string> result = {"micro_step", "optimizer_step"};
  for (const char *name : {"convert_storage", "eval_loss"})
    if (manifest.findEntry(name) >= 0)
      result.push_back(name);
  return result;
}

Trainer::Trainer(Session &session, Batches &data, Batches *validation,
                 TrainerOptions given)
    : session(session), data(data), validation(validation),
      options(std::move(given)) {}

Status Trainer::resume(const std::string &checkpoint) {
  QRT_ASSIGN_OR_RETURN(TrainerState state, readTrainerState(checkpoint));
  const auto &train = options.settings.train;
  if (state.seed != train.seed)
    return makeError(8010, checkpoint,
                     "the run was begun with train.seed={}, not {}; its order "
                     "of data cannot be continued",
                     state.seed, train.seed);
  const auto &parameters = session.manifest().parameters;
  auto momentOf = [&](int which) {
    return [this, &parameters, which](size_t p, int64_t layer) {
      return session.moment(which, static_cast<int>(p)) +
             layer * parameters[p].elementsPerLayer();
    };
  };
  QRT_RETURN_IF_ERROR(
      loadMoments(checkpoint, parameters, momentOf(1), momentOf(2)));
  done = savedStep = state.step;
  sequences = state.sequences;
  if (auto it = state.extra.find("best_loss");
      it != state.extra.end() && it->is_number())
    bestLoss = it->get<double>();
  if (auto it = state.extra.find("best_step");
      it != state.extra.end() && it->is_number_integer())
    bestStep = it->get<int64_t>();
  return Status::success();
}

Expected<Trainer::StepResult> Trainer::advance() {
  const auto &train = options.settings.train;
  const int64_t rows = train.batch, length = train.sequence;
  const int64_t size = rows * length;
  // All micro steps are fetched first: the loss is a mean over the targets of
  // the whole step, so their number must be known to the first backward pass.
  std::vector<int32_t> tokens(size * train.accumulate),
      targets(size * train.accumulate);
  QRT_RETURN_IF_ERROR(data.fetch(sequences, rows * train.accumulate,
                                 tokens.data(), targets.data()));
  int64_t count = 0;
  for (int32_t target : targets)
    count += target >= 0;
  if (count == 0)
    return makeError(8006, "", "step {}: all targets are masked", done + 1);
  auto inverse = static_cast<float>(1.0 / double(count));

  QRT_ASSIGN_OR_RETURN(EntryCall micro, session.prepare("micro_step"));
  float loss = 0;
  micro.bindInput("inv_count", &inverse);
  micro.bindOutput("loss", &loss);
  micro.setExtent("batch", rows);
  micro.setExtent("sequence", length);
  double nats = 0;
  for (int64_t i = 0; i < train.accumulate; ++i) {
    micro.bindInput("tokens", tokens.data() + i * size);
    micro.bindInput("targets", targets.data() + i * size);
    QRT_RETURN_IF_ERROR(micro.run());
    nats += loss;
  }
  StepResult result;
  result.loss = nats / double(count);
  if (!std::isfinite(result.loss))
    return makeError(8004, "",
                     "step {}: the loss is not finite; nothing was updated",
                     done + 1);

  const OptimizerDefaults &optimizer = train.optimizer;
  result.lr = schedule.at(done);
  auto groups = session.manifest().groupCount();
  std::vector<float> hyper(groups * 8);
  double t = double(done + 1);
  for (int64_t g = 0; g < groups; ++g) {
    const double values[8] = {
        result.lr, optimizer.beta1, optimizer.beta2, optimizer.eps,
        // Group 0 decays; vectors, in group 1, do not.
        g == 0 ? optimizer.weightDecay : 0, optimizer.clip,
        1 - std::pow(optimizer.beta1, t), 1 - std::pow(optimizer.beta2, t)};
    for (int i = 0; i < 8; ++i)
      hyper[g * 8 + i] = static_cast<float>(values[i]);
  }
  int32_t skip = 0, nonfinite = 0;
  float norm = 0;
  QRT_ASSIGN_OR_RETURN(EntryCall update, session.prepare("optimizer_step"));
  update.bindInput("hyper", hyper.data());
  update.bindInput("skip", &skip);
  update.bindOutput("grad_norm", &norm);
  update.bindOutput("nonfinite", &nonfinite);
  QRT_RETURN_IF_ERROR(update.run());
  if (nonfinite)
    return makeError(8004, "",
                     "step {}: the gradient is not finite (loss {}); nothing "
                     "was updated",
                     done + 1, result.loss);
  result.gradNorm = norm;
  sequences += rows * train.accumulate;
  ++done;
  return result;
}

/// Model FLOP utilisation in the full and the causal count; null without a
/// peak.
static std::pair<std::optional<double>, std::optional<double>>
utilisation(double tokensPerSecond, const Manifest &manifest,
            const std::optional<double> &peakTflops) {
  if (!peakTflops || !(*peakTflops > 0))
    return {};
  double peak = *peakTflops * 1e12;
  return {tokensPerSecond * manifest.flopsPerToken.train / peak,
          tokensPerSecond * manifest.flopsPerToken.trainCausal / peak};
}

/// Tokens a second since the last line of the log, inside steps.
double Trainer::speed() const {
  return stepSeconds > 0 ? double(stepTokens) / stepSeconds : 0;
}

std::string Trainer::describe(const StepResult &result) const {
  std::string text = fmt::format(
      "step {}/{} | loss {:.4f} | norm {:.3f} | lr {:.2e} | {} tok/s", done,
      options.steps, result.loss, result.gradNorm, result.lr,
      formatCount(speed()));
  auto [mfu, causal] =
      utilisation(speed(), session.manifest(), options.peakTflops);
  if (mfu)
    text += fmt::format(" | mfu {:.1f}% (causal {:.1f}%)", *mfu * 100,
                        *causal * 100);
  return text;
}

Status Trainer::log(const StepResult &result) {
  auto [mfu, causal] =
      utilisation(speed(), session.manifest(), options.peakTflops);
  QRT_RETURN_IF_ERROR(
      metrics.write({{"type", "step"},
                     {"step", done},
                     {"loss", result.loss},
                     {"grad_norm", result.gradNorm},
                     {"lr", result.lr},
                     {"tokens", sequences * options.settings.train.sequence},
                     {"tokens_per_s", speed()},
                     {"mfu", orNull(mfu)},
                     {"mfu_causal", orNull(causal)},
                     {"seconds", now() - startSeconds}}));
  if (!progress->onTerminal()) {
    double left = progress->secondsLeft(done);
    progress->line(describe(result) +
                   (left >= 0 ? " | eta " + formatDuration(left) : ""));
  }
  stepSeconds = 0;
  stepTokens = 0;
  return Status::success();
}

Status Trainer::evaluateNow() {
  if (!validation || evaluatedStep == done)
    return Status::success();
  EvalOptions evalOptions;
  evalOptions.batches = options.settings.eval.batches;
  evalOptions.byteLengths = options.byteLengths;
  QRT_ASSIGN_OR_RETURN(EvalResult result,
                       evaluate(session, *validation, evalOptions));
  if (result.stopped || result.tokens == 0)
    return Status::success();
  evaluatedStep = done;
  QRT_RETURN_IF_ERROR(
      metrics.write({{"type", "eval"},
                     {"step", done},
                     {"loss", orNull(result.loss())},
                     {"accuracy", result.accuracy()},
                     {"perplexity", orNull(result.perplexity())},
                     {"bits_per_byte", orNull(result.bitsPerByte())}}));
  std::string text = fmt::format(
      "eval at step {}: loss {:.4f} | accuracy {:.2f}% | "
      "perplexity {:.3f}",
      done, result.loss(), result.accuracy() * 100, result.perplexity());
  if (auto bits = result.bitsPerByte())
    text += fmt::format(" | bits per byte {:.4f}", *bits);
  progress->line(text);
  if (!bestLoss || result.loss() < *bestLoss) {
    bestLoss = result.loss();
    bestStep = done;
    if (options.settings.checkpoint.best)
      QRT_RETURN_IF_ERROR(save());
  }
  return Status::success();
}

Status Trainer::save() {
  const Manifest &manifest = session.manifest();
  if (savedStep != done) {
    auto at = [&](auto base) {
      return [base, &manifest](size_t p, int64_t layer) -> const float * {
        return base(static_cast<int>(p)) +
               layer * manifest.parameters[p].elementsPerLayer();
      };
    };
    CheckpointData checkpoint;
    checkpoint.parameters = &manifest.parameters;
    checkpoint.weights = at([this](int p) {
      return static_cast<const float *>(session.parameter(p, "master"));
    });
    checkpoint.moment1 = at([this](int p) { return session.moment(1, p); });
    checkpoint.moment2 = at([this](int p) { return session.moment(2, p); });
    checkpoint.hfConfig = manifest.hfConfig;
    checkpoint.generationConfig = options.generationConfig;
    checkpoint.files = options.files;
    checkpoint.trainer.step = done;
    checkpoint.trainer.sequences = sequences;
    checkpoint.trainer.tokens = sequences * options.settings.train.sequence;
    checkpoint.trainer.seed = options.settings.train.seed;
    if (bestLoss) {
      checkpoint.trainer.extra["best_loss"] = *bestLoss;
      checkpoint.trainer.extra["best_step"] = bestStep;
    }
    QRT_ASSIGN_OR_RETURN(std::string name,
                         saveCheckpoint(options.out, checkpoint));
    savedStep = done;
    QRT_RETURN_IF_ERROR(metrics.write(
        {{"type", "checkpoint"}, {"step", done}, {"path", name}}));
    progress->line(fmt::format("saved {}/{}", options.out, name));
  }
  if (bestStep == done && options.settings.checkpoint.best)
    QRT_RETURN_IF_ERROR(
        linkCheckpoint(options.out, "best", fmt::format("step-{:06}", done)));
  return pruneCheckpoints(options.out, options.settings.checkpoint.keep);
}

Expected<int> Trainer::run() {
  startSeconds = now();
  QRT_ASSIGN_OR_RETURN(schedule, makeSchedule(options.settings, options.steps));
  QRT_RETURN_IF_ERROR(metrics.open(options.out, done));
  if (metrics.isEmpty()) {
    json config = settingsToJson(options.settings);
    config["type"] = "config";
    config["model"] = session.manifest().name;
    config["steps"] = options.steps;
    config["parameters"] = session.manifest().parameterCount();
    config["dtype"] = nameOf(session.manifest().dtype);
    config["build_id"] = session.manifest().buildId;
    config["level"] = session.module().level();
    QRT_RETURN_IF_ERROR(metrics.write(config));
  }
  progress.emplace("train", options.steps, done);
  const auto &settings = options.settings;
  int64_t firstStep = done + 1;
  auto isDue = [&](int64_t every) { return every > 0 && done % every == 0; };
  while (done < options.steps && !stopSignal()) {
    double begin = now();
    QRT_ASSIGN_OR_RETURN(StepResult result, advance());
    stepSeconds += now() - begin;
    stepTokens += tokensPerStep(settings);
    bool isLast = done == options.steps;
    if (progress->onTerminal())
      progress->update(done, describe(result));
    if (isDue(settings.log.every) || done == firstStep || isLast)
      QRT_RETURN_IF_ERROR(log(result));
    if (isDue(settings.eval.every) || (isLast && settings.eval.every > 0))
      QRT_RETURN_IF_ERROR(evaluateNow());
    if (isDue(settings.checkpoint.every))
      QRT_RETURN_IF_ERROR(save());
  }
  if (done > 0)
    QRT_RETURN_IF_ERROR(save());
  progress->finish();
  if (int signal = stopSignal(); signal && done < options.steps)
    return exitStatusOfSignal(signal);
  return 0;
}
