//===- Trainer.cpp - The training loop ------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Trainer.h"
#include "runtime/core/Signals.h"
#include "runtime/train/DeviceMetrics.h"
#include "runtime/train/OptimizerGroups.h"

#include <chrono>
#include <cmath>

using namespace qrt;
using nlohmann::json;

namespace {

constexpr int64_t kDeviceMetricsEvery = 100; // steps

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
  for (const char *name : {"last_micro_step", "convert_storage", "eval_loss"})
    if (manifest.findEntry(name) >= 0)
      result.push_back(name);
  return result;
}

Trainer::Trainer(SessionGroup &session, Batches &data, Batches *validation,
                 TrainerOptions given)
    : session(session), executor(session), data(data), validation(validation),
      options(std::move(given)),
      saver({options.out, options.settings.checkpoint.keep,
             options.settings.checkpoint.keepEvery}) {}

//===----------------------------------------------------------------------===//
// One step
//===----------------------------------------------------------------------===//

/// Whether this step's update is left out, by what is known before it: the
/// loss, and the norm where outliers are looked for.
Expected<bool> Trainer::leavesOut(StepResult &result) {
  const auto &train = options.settings.train;
  result.lossScore = losses.score(result.loss);
  if (!std::isfinite(result.loss)) {
    if (train.nonFinite == NonFinite::Stop)
      return makeError(8004, "",
                       "step {}: the loss is not finite; nothing was updated",
                       done + 1);
    return true;
  }
  if (train.skipOutliers <= 0)
    return false;
  QRT_ASSIGN_OR_RETURN(double norm, executor.gradientNorm());
  auto isOutlier = [&](std::optional<double> score) {
    return score && *score > train.skipOutliers;
  };
  return isOutlier(result.lossScore) || isOutlier(norms.score(norm));
}

Expected<Trainer::StepResult> Trainer::advance() {
  const auto &train = options.settings.train;
  double begin = now();
  QRT_ASSIGN_OR_RETURN(StepBatch batch,
                       StepBatch::fetch(data, sequences, train.batch,
                                        train.sequence, train.accumulate,
                                        train.documentMask));
  if (batch.count == 0)
    return makeError(8006, "", "step {}: all targets are masked", done + 1);
  QRT_ASSIGN_OR_RETURN(double nats, executor.accumulate(batch));
  StepResult result;
  result.loss = nats / double(batch.count);
  result.lr = schedule.at(done);
  QRT_ASSIGN_OR_RETURN(result.skipped, leavesOut(result));
  QRT_ASSIGN_OR_RETURN(
      UpdateResult update,
      executor.update(hyperParameters(train.optimizer,
                                      session.manifest().groupCount(),
                                      result.lr, updates + 1),
                      result.skipped));
  if (!update.finite) {
    if (train.nonFinite == NonFinite::Stop)
      return makeError(8004, "",
                       "step {}: the gradient is not finite (loss {}); nothing "
                       "was updated",
                       done + 1, result.loss);
    result.skipped = true;
  }
  result.gradNorm = update.gradNorm;
  result.normScore = norms.score(update.gradNorm);
  skipsInRow = result.skipped ? skipsInRow + 1 : 0;
  if (skipsInRow > train.maxSkips)
    return makeError(8004, "",
                     "step {}: the update would be left out for the {}th time "
                     "in a row (loss {}, gradient norm {}); train.max_skips "
                     "allows {}",
                     done + 1, skipsInRow, result.loss, update.gradNorm,
                     train.maxSkips);
  losses.add(result.loss);
  norms.add(update.gradNorm);
  sequences += batch.rows * batch.accumulate;
  updates += !result.skipped;
  ++done;
  result.seconds = now() - begin;
  return result;
}

//===----------------------------------------------------------------------===//
// What is told
//===----------------------------------------------------------------------===//

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

/// Seconds of the whole run, its parts before this start included.
double Trainer::elapsed() const { return secondsBefore + now() - startSeconds; }

std::string Trainer::describe(const StepResult &result) const {
  auto score = [](std::optional<double> z) {
    return z ? fmt::format(" ({:+.1f}z)", *z) : std::string();
  };
  std::string text = fmt::format(
      "step {}/{} ({:.1f}%) | loss {:.4f}{} | norm {:.3f}{} | lr {:.2e} | "
      "{:.0f} ms | {} tok/s",
      done, options.steps, 100.0 * double(done) / double(options.steps),
      result.loss, score(result.lossScore), result.gradNorm.value_or(NAN),
      score(result.normScore), result.lr, result.seconds * 1e3,
      formatCount(speed()));
  auto [mfu, causal] =
      utilisation(speed(), session.manifest(), options.peakTflops);
  text += mfu ? fmt::format(" | mfu {:.1f}% (causal {:.1f}%)", *mfu * 100,
                            *causal * 100)
              : std::string(" | mfu n/a");
  text += " | mem " + formatBytes(residentBytes());
  if (result.skipped)
    text += " | update left out";
  return text;
}

Status Trainer::log(const StepResult &result) {
  auto [mfu, causal] =
      utilisation(speed(), session.manifest(), options.peakTflops);
  json event = {{"type", "step"},
                {"step", done},
                {"loss", orNull(result.loss)},
                {"grad_norm", orNull(result.gradNorm)},
                {"lr", result.lr},
                {"tokens", sequences * options.settings.train.sequence},
                {"tokens_per_s", speed()},
                {"mfu", orNull(mfu)},
                {"mfu_causal", orNull(causal)},
                {"seconds", elapsed()},
                {"loss_z", orNull(result.lossScore)},
                {"grad_norm_z", orNull(result.normScore)}};
  if (result.skipped)
    event["skipped"] = true;
  bool wasBehind = metrics.isBehind();
  QRT_RETURN_IF_ERROR(metrics.write(event));
  if (metrics.isBehind() && !wasBehind)
    progress->line("warning: metrics.jsonl cannot be written at the moment; "
                   "what belongs there is kept in memory");
  if (!progress->onTerminal()) {
    double left = progress->secondsLeft(done);
    progress->line(describe(result) +
                   (left >= 0 ? " | eta " + formatDuration(left) : ""));
  }
  stepSeconds = 0;
  stepTokens = 0;
  return Status::success();
}

Status Trainer::logDevice() {
  json event = cpuMetrics();
  for (const auto &[key, value] : session.device().metrics())
    event[key] = orNull(value);
  event["type"] = "device";
  event["step"] = done;
  return metrics.write(event);
}

Status Trainer::logConfig() {
  json config = settingsToJson(options.settings);
  config["type"] = "config";
  config["model"] = session.manifest().name;
  config["steps"] = options.steps;
  config["parameters"] = session.manifest().parameterCount();
  config["flops_per_token"] = session.manifest().flopsPerToken.train;
  config["dtype"] = nameOf(session.manifest().dtype);
  config["build_id"] = session.manifest().buildId;
  config["device"] = session.device().name();
  config["level"] = session.module().level();
  config["peak_tflops"] = orNull(options.peakTflops);
  return metrics.write(config);
}

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

Status Trainer::evaluateNow() {
  if (!validation || evaluatedStep == done)
    return Status::success();
  EvalOptions evalOptions;
  evalOptions.batches = options.settings.eval.batches;
  evalOptions.byteLengths = options.byteLengths;
  evalOptions.documents = options.settings.train.documentMask;
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
  }
  return Status::success();
}

Status Trainer::sampleNow() {
  QRT_ASSIGN_OR_RETURN(std::vector<SampleText> samples, options.sample());
  if (samples.empty())
    return Status::success();
  json list = json::array();
  for (const SampleText &sample : samples) {
    list.push_back({{"prompt", sample.prompt}, {"text", sample.text}});
    progress->line(fmt::format("sample at step {}: {}{}", done, sample.prompt,
                               sample.text));
  }
  return metrics.write({{"type", "sample"}, {"step", done}, {"samples", list}});
}

//===----------------------------------------------------------------------===//
// Checkpoints
//===----------------------------------------------------------------------===//

/// What a resumed run must share with the one that made the checkpoint: all
/// that its next steps depend on, but for the length of the run.
json Trainer::identity() const {
  const auto &train = options.settings.train;
  const Manifest &manifest = session.manifest();
  json settings = settingsToJson(options.settings)["train"];
  json optimizer = settings["optimizer"];
  return {{"model.parameters", manifest.parameterCount()},
          {"model.dtype", std::string(nameOf(manifest.dtype))},
          {"train.seed", train.seed},
          {"train.sequence", train.sequence},
          {"train.batch * accumulate", train.batch * train.accumulate},
          {"train.document_mask", train.documentMask},
          {"train.optimizer.kind", optimizer["kind"]},
          {"train.optimizer.lr", optimizer["lr"]},
          {"train.optimizer.betas", optimizer["betas"]},
          {"train.optimizer.eps", optimizer["eps"]},
          {"train.optimizer.weight_decay", optimizer["weight_decay"]},
          {"train.optimizer.clip", optimizer["clip"]},
          {"train.optimizer.muon", optimizer.value("muon", json())},
          {"train.optimizer.groups", optimizer.value("groups", json())},
          {"train.schedule.kind", settings["schedule"]["kind"]},
          {"train.schedule.warmup", settings["schedule"]["warmup"]},
          {"train.schedule.min_lr", settings["schedule"]["min_lr"]},
          {"train.schedule.decay", settings["schedule"]["decay"]},
          {"data", options.data}};
}

/// One line for each key in which the two differ.
static std::string differences(const json &saved, const json &current) {
  std::string text;
  for (auto &[key, value] : current.items()) {
    auto it = saved.find(key);
    // A null says nothing; an older checkpoint may lack a key.
    if (it == saved.end() || it->is_null() || value.is_null() || *it == value)
      continue;
    if (key == "data")
      text += "\n  data: other token files, or others in them";
    else
      text += fmt::format("\n  {}: {} in the checkpoint, {} now", key,
                          it->dump(), value.dump());
  }
  return text;
}

Status Trainer::resume(const std::string &checkpoint, bool acceptChanges) {
  QRT_ASSIGN_OR_RETURN(TrainerState state, readTrainerState(checkpoint));
  const json &extra = state.extra;
  json saved = extra.value("identity", json::object());
  if (!saved.is_object())
    saved = json::object();
  saved["train.seed"] = state.seed;
  std::string changed = differences(saved, identity());
  if (!changed.empty() && !acceptChanges)
    return makeError(8010, checkpoint,
                     "the checkpoint was made with other data or settings; go "
                     "on all the same with --accept-changes:{}",
                     changed);
  QRT_ASSIGN_OR_RETURN(auto moments, openMoments(checkpoint));
  QRT_RETURN_IF_ERROR(
      session.load(*moments, {{"moment1.", {ArgRole::Moment1, ""}},
                              {"moment2.", {ArgRole::Moment2, ""}}}));
  done = savedStep = state.step;
  sequences = state.sequences;
  auto integer = [&](const char *key, int64_t otherwise) {
    auto it = extra.find(key);
    return it != extra.end() && it->is_number_integer() ? it->get<int64_t>()
                                                        : otherwise;
  };
  updates = integer("updates", state.step);
  skipsInRow = integer("skips_in_row", 0);
  losses.fromJson(extra.value("losses", json()));
  norms.fromJson(extra.value("norms", json()));
  if (auto it = extra.find("best_loss"); it != extra.end() && it->is_number())
    bestLoss = it->get<double>();
  bestStep = integer("best_step", -1);
  return Status::success();
}

CheckpointData Trainer::state() {
  const Manifest &manifest = session.manifest();
  auto at = [&](const StateKind &kind) {
    return [this, kind](size_t p, int64_t layer) {
      return session.readState(kind, static_cast<int>(p), layer);
    };
  };
  CheckpointData checkpoint;
  checkpoint.parameters = &manifest.parameters;
  checkpoint.weights = at({ArgRole::Parameter, "master"});
  checkpoint.moment1 = at({ArgRole::Moment1, ""});
  checkpoint.moment2 = at({ArgRole::Moment2, ""});
  checkpoint.hfConfig = manifest.hfConfig;
  checkpoint.generationConfig = options.generationConfig;
  checkpoint.files = options.files;
  checkpoint.trainer.step = done;
  checkpoint.trainer.sequences = sequences;
  checkpoint.trainer.tokens = sequences * options.settings.train.sequence;
  checkpoint.trainer.seed = options.settings.train.seed;
  json &extra = checkpoint.trainer.extra;
  extra = {{"identity", identity()},
           {"updates", updates},
           {"skips_in_row", skipsInRow},
           {"losses", losses.toJson()},
           {"norms", norms.toJson()}};
  if (bestLoss) {
    extra["best_loss"] = *bestLoss;
    extra["best_step"] = bestStep;
  }
  return checkpoint;
}

/// Begins to save the state of now, unless that is done.
void Trainer::save(bool background) {
  if (savedStep == done)
    return;
  report(saver.wait());
  savedStep = done;
  saver.save(state(), bestStep == done && options.settings.checkpoint.best,
             background);
  if (!background)
    report(saver.wait());
}

/// Tells how a save ended. A failed one does not end the run: what is there
/// stays there, and the next save may have more luck.
void Trainer::report(std::optional<CheckpointSaver::Outcome> outcome) {
  if (!outcome)
    return;
  lastSave = outcome->status;
  if (!outcome->status) {
    progress->line("warning: " + outcome->status.error().str());
    if (savedStep == outcome->step)
      savedStep = -1;
    return;
  }
  // Whether the event can be written is told by metrics.finish().
  (void)metrics.write({{"type", "checkpoint"},
                       {"step", outcome->step},
                       {"path", outcome->name}});
  progress->line(fmt::format("saved {}/{}", options.out, outcome->name));
}

bool Trainer::isFinite() const {
  const auto &parameters = session.manifest().parameters;
  for (size_t p = 0; p < parameters.size(); ++p)
    for (int64_t layer = 0; layer < parameters[p].layerCount(); ++layer) {
      auto values = session.readState({ArgRole::Parameter, "master"},
                                      static_cast<int>(p), layer);
      if (!values)
        return false;
      for (int64_t i = 0, n = parameters[p].elementsPerLayer(); i < n; ++i)
        if (!std::isfinite((*values)[i]))
          return false;
    }
  return true;
}

//===----------------------------------------------------------------------===//
// The loop
//===----------------------------------------------------------------------===//

Status Trainer::loop() {
  const auto &settings = options.settings;
  int64_t firstStep = done + 1;
  auto isDue = [&](int64_t every) { return every > 0 && done % every == 0; };
  while (done < options.steps && !stopSignal()) {
    QRT_ASSIGN_OR_RETURN(StepResult result, advance());
    stepSeconds += result.seconds;
    stepTokens += tokensPerStep(settings);
    report(saver.poll());
    bool isLast = done == options.steps;
    if (progress->onTerminal())
      progress->update(done, describe(result));
    if (result.skipped)
      progress->line(fmt::format("warning: step {}: the update is left out "
                                 "(loss {:.4f}, gradient norm {:.3f})",
                                 done, result.loss,
                                 result.gradNorm.value_or(NAN)));
    if (isDue(settings.log.every) || done == firstStep || isLast ||
        result.skipped)
      QRT_RETURN_IF_ERROR(log(result));
    if (isDue(kDeviceMetricsEvery))
      QRT_RETURN_IF_ERROR(logDevice());
    if (isDue(settings.eval.every) || (isLast && settings.eval.every > 0))
      QRT_RETURN_IF_ERROR(evaluateNow());
    if (options.sample && isDue(settings.eval.sampleEvery))
      QRT_RETURN_IF_ERROR(sampleNow());
    if (isDue(settings.checkpoint.every) ||
        (bestStep == done && settings.checkpoint.best))
      save(settings.checkpoint.async && !isLast);
  }
  return Status::success();
}

Expected<int> Trainer::run() {
  startSeconds = now();
  QRT_ASSIGN_OR_RETURN(schedule, makeSchedule(options.settings, options.steps));
  QRT_RETURN_IF_ERROR(metrics.open(options.out, done));
  secondsBefore = metrics.seconds();
  if (metrics.isEmpty())
    QRT_RETURN_IF_ERROR(logConfig());
  progress.emplace("train", options.steps, done);
  Status status = loop();
  report(saver.wait());
  // After an error too: the state is that of the last good step, unless the
  // weights are what is wrong.
  if (done > 0 && (status || isFinite()))
    save(/*background=*/false);
  progress->finish();
  Status written = metrics.finish();
  if (!status)
    return status.error();
  if (!lastSave)
    return lastSave.error();
  if (!written)
    return written.error();
  if (int signal = stopSignal(); signal && done < options.steps)
    return exitStatusOfSignal(signal);
  return 0;
}
