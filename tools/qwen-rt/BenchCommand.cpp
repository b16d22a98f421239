//===- BenchCommand.cpp - qwen-rt bench -----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Batch 1: prefill from an empty cache, decode behind --depth tokens; a
// training step at the compiled shape. One warm-up, then --reps runs; medians.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/cpu/ChromeTrace.h"
#include "runtime/cpu/MachineLimits.h"
#include "runtime/data/OutputFile.h"
#include "runtime/infer/Generator.h"
#include "runtime/train/Trainer.h"
#include "tools/qwen-rt/Model.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

using namespace qrt;
using nlohmann::json;

namespace {

struct BenchOptions {
  std::string model, weights;
  std::optional<int64_t> prefill, decode;
  int64_t depth = 0, repetitions = 5;
  bool trainStep = false;
  /// The file of the trace; the profile is made if there is one.
  std::optional<std::string> profile;
};

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/// Tokens per second of each repetition of one task.
struct Series {
  std::vector<double> samples;
  bool ran() const { return !samples.empty(); }
  double value() const { return median(samples); }
  json valueOrNull() const { return ran() ? json(value()) : json(nullptr); }
};

/// Null for what was not measured.
json orNull(double value) { return value > 0 ? json(value) : json(nullptr); }

/// Runs `task` once to warm up, then `repetitions` times.
Expected<Series> measure(int64_t repetitions, int64_t tokens, Device &device,
                         const std::function<Status()> &task) {
  QRT_RETURN_IF_ERROR(task());
  // The profile holds the measured runs only.
  device.pool().clearProfile();
  Series series;
  for (int64_t i = 0; i < repetitions; ++i) {
    // The trace shows one run.
    device.pool().clearSpans();
    auto begin = Clock::now();
    QRT_RETURN_IF_ERROR(task());
    double seconds =
        std::chrono::duration<double>(Clock::now() - begin).count();
    series.samples.push_back(double(tokens) / std::max(seconds, 1e-9));
  }
  return series;
}

/// Token ids that differ, all valid.
std::vector<int32_t> someTokens(int64_t count, int64_t vocab) {
  std::vector<int32_t> ids(count);
  for (int64_t i = 0; i < count; ++i)
    ids[i] =
        static_cast<int32_t>((i * 7919 + 13) % std::max<int64_t>(vocab, 1));
  return ids;
}

/// Bytes that one decoded token must read: every parameter of the entry but
/// tables of which one row is looked up, and the cache so far.
double decodeBytes(const Manifest &manifest, int64_t position) {
  int index = manifest.findEntry("decode");
  if (index < 0)
    return 0;
  const EntryInfo &entry = manifest.entries[index];
  bool hasHead = false;
  auto isTable = [](const ParameterInfo &parameter) {
    return parameter.shape.size() == 2 && !parameter.axes.empty() &&
           (parameter.axes[0] == "vocab" || parameter.axes[0] == "context");
  };
  auto isLookup = [&](const ParameterInfo &parameter) {
    auto views = parameter.views.find("hf");
    if (!isTable(parameter) || views == parameter.views.end() ||
        views->second.empty())
      return false;
    const std::string &name = views->second.front().name;
    return name.find("embed") != std::string::npos ||
           name.find("wte") != std::string::npos ||
           name.find("wpe") != std::string::npos;
  };
  for (const ParameterInfo &parameter : manifest.parameters)
    hasHead |= isTable(parameter) && !isLookup(parameter);
  double bytes = 0;
  for (const ArgInfo &arg : entry.args) {
    double size = double(entry.elements(arg)) * double(arg.count) *
                  double(bytesOf(arg.dtype));
    if (arg.role == ArgRole::Parameter) {
      const ParameterInfo &parameter = manifest.parameters[arg.parameter];
      // A tied table is the head too, and is read as a whole.
      bool skipped =
          isLookup(parameter) && (hasHead || parameter.axes[0] == "context");
      if (!skipped)
        bytes += size;
    } else if (arg.role == ArgRole::Cache) {
      const auto &infer = manifest.defaults.infer;
      bytes +=
          size / double(infer.batch) / double(infer.context) * double(position);
    }
  }
  return bytes;
}

class Bench {
public:
  Bench(const BenchOptions &options, Model &model)
      : options(options), model(model) {}

  Status runInference(int64_t prefillTokens, int64_t decodeTokens) {
    QRT_ASSIGN_OR_RETURN(std::unique_ptr<SessionGroup> session,
                         createSession(model, {"prefill", "decode"}));
    QRT_ASSIGN_OR_RETURN(Generator generator, Generator::create(*session));
    startProfile();
    if (prefillTokens > 0) {
      if (prefillTokens > generator.context())
        return makeError(7032, "",
                         "--prefill {} is more than the context of {}",
                         prefillTokens, generator.context());
      auto ids = someTokens(prefillTokens, generator.vocab());
      QRT_ASSIGN_OR_RETURN(
          prefill,
          measure(options.repetitions, prefillTokens, model.device(), [&] {
            return generator.feed(ids.data(), prefillTokens, 0);
          }));
      addProfile("prefill");
    }
    if (decodeTokens > 0) {
      if (options.depth + decodeTokens > generator.context())
        return makeError(7032, "",
                         "--depth {} and --decode {} are more than the context "
                         "of {}",
                         options.depth, decodeTokens, generator.context());
      auto ids = someTokens(options.depth + decodeTokens, generator.vocab());
      if (options.depth > 0)
        QRT_RETURN_IF_ERROR(generator.feed(ids.data(), options.depth, 0));
      QRT_ASSIGN_OR_RETURN(
          decode, measure(options.repetitions, decodeTokens, model.device(),
                          [&]() -> Status {
                            for (int64_t i = 0; i < decodeTokens; ++i)
                              QRT_RETURN_IF_ERROR(
                                  generator.feed(&ids[options.depth + i], 1,
                                                 options.depth + i));
                            return Status::success();
                          }));
      addProfile("decode");
    }
    return Status::success();
  }

  Status runTraining() {
    const char *step = lastMicroStep(model.manifest());
    QRT_ASSIGN_OR_RETURN(std::unique_ptr<SessionGroup> session,
                         createSession(model, {step, "optimizer_step"}));
    QRT_ASSIGN_OR_RETURN(GroupCall micro, session->prepare(step));
    QRT_ASSIGN_OR_RETURN(GroupCall update, session->prepare("optimizer_step"));
    int64_t tokens =
        micro.info().maxExtent("batch") * micro.info().maxExtent("sequence");
    auto ids = someTokens(tokens + 1, model.manifest().vocab());
    float inverse = 1.0f / float(tokens), loss = 0, norm = 0;
    int32_t skip = 0, nonfinite = 0;
    micro.bindInput("tokens", ids.data());
    micro.bindInput("targets", ids.data() + 1);
    micro.bindInput("inv_count", &inverse);
    micro.bindOutput("loss", &loss);
    std::vector<float> hyper;
    for (int64_t g = 0; g < model.manifest().groupCount(); ++g)
      hyper.insert(hyper.end(),
                   {1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 1.0f, 0.1f, 0.05f});
    update.bindInput("hyper", hyper.data());
    update.bindInput("skip", &skip);
    update.bindOutput("grad_norm", &norm);
    update.bindOutput("nonfinite", &nonfinite);
    startProfile();
    QRT_ASSIGN_OR_RETURN(train, measure(options.repetitions, tokens,
                                        model.device(), [&]() -> Status {
                                          QRT_RETURN_IF_ERROR(micro.run());
                                          return update.run();
                                        }));
    addProfile("train_step");
    return Status::success();
  }

  Status measureLimits() {
    // The host's limits say nothing of another device.
    if (!model.device().sharesHostMemory())
      return Status::success();
    // Far beyond any cache, but not more than small machines have.
    constexpr int64_t kReadBytes = int64_t(1) << 30;
    QRT_ASSIGN_OR_RETURN(Buffer buffer,
                         Buffer::allocate(kReadBytes, "the bandwidth test"));
    // Pages of zeros would all be one page of the cache.
    std::memset(buffer.data(), 1, kReadBytes);
    bool amx =
        model.module->level() == "amx" && model.manifest().dtype == DType::BF16;
    limits = measureMachineLimits(model.device().pool(), buffer.data(),
                                  kReadBytes, amx);
    return Status::success();
  }

  json report() const {
    const Manifest &manifest = model.manifest();
    auto share = [](double value, double limit) {
      return limit > 0 ? json(value / limit) : json(nullptr);
    };
    json shares = {
        {"prefill", nullptr}, {"decode", nullptr}, {"train", nullptr}};
    json samples = {
        {"prefill", nullptr}, {"decode", nullptr}, {"train", nullptr}};
    const auto &flops = manifest.flopsPerToken;
    if (prefill.ran()) {
      shares["prefill"] =
          share(prefill.value() * flops.forward, limits.flopsPerSecond);
      samples["prefill"] = prefill.samples;
    }
    if (decode.ran()) {
      double bytes =
          decodeBytes(manifest, options.depth + options.decode.value_or(0) / 2);
      shares["decode"] =
          share(decode.value() * bytes, limits.readBytesPerSecond);
      samples["decode"] = decode.samples;
    }
    if (train.ran()) {
      shares["train"] =
          share(train.value() * flops.trainCausal, limits.flopsPerSecond);
      samples["train"] = train.samples;
    }
    return {{"prefill_tokens_per_s", prefill.valueOrNull()},
            {"decode_tokens_per_s", decode.valueOrNull()},
            {"train_tokens_per_s", train.valueOrNull()},
            {"threads", model.device().pool().threads()},
            {"target", model.module->variantName()},
            {"limits",
             {{"read_bytes_per_s", orNull(limits.readBytesPerSecond)},
              {"flops_per_s", orNull(limits.flopsPerSecond)}}},
            {"share_of_limit", shares},
            {"samples", samples}};
  }

  void print() const {
    const Manifest &manifest = model.manifest();
    std::printf("%s, %s, %d threads, level %s\n", manifest.name.c_str(),
                std::string(nameOf(manifest.dtype)).c_str(),
                model.device().pool().threads(), model.module->level().c_str());
    if (limits.flopsPerSecond > 0)
      std::printf("limits: read %.1f GB/s, %s %.0f GFLOP/s\n",
                  limits.readBytesPerSecond / 1e9, limits.flopsKind.c_str(),
                  limits.flopsPerSecond / 1e9);
    json document = report();
    auto line = [&](const char *name, const char *key, double perToken,
                    const char *unit) {
      json value = document[std::string(key) + "_tokens_per_s"];
      if (value.is_null())
        return;
      json part = document["share_of_limit"][key];
      std::printf("%-10s %12.1f tokens/s  %10.2f %s  %5.1f%% of the limit\n",
                  name, value.get<double>(),
                  value.get<double>() * perToken / 1e9, unit,
                  part.is_null() ? 0.0 : part.get<double>() * 100);
    };
    line("prefill", "prefill", manifest.flopsPerToken.forward, "GFLOP/s");
    line("decode", "decode",
         decodeBytes(manifest, options.depth + options.decode.value_or(0) / 2),
         "GB/s   ");
    line("train", "train", manifest.flopsPerToken.trainCausal, "GFLOP/s");
    for (const std::string &text : profiles)
      std::fputs(text.c_str(), stdout);
  }

  /// The trace of the last repetition of each task.
  Status writeTrace() const {
    if (!options.profile)
      return Status::success();
    QRT_ASSIGN_OR_RETURN(std::unique_ptr<OutputFile> file,
                         OutputFile::create(*options.profile));
    QRT_RETURN_IF_ERROR(file->write(chromeTrace(traces)));
    return file->commit();
  }

  void printProfilesToStderr() const {
    for (const std::string &text : profiles)
      std::fputs(text.c_str(), stderr);
  }

private:
  void startProfile() {
    model.device().pool().clearProfile();
    model.device().pool().enableProfile(options.profile.has_value());
  }

  /// Notes the time of every kernel since the warm-up.
  void addProfile(const std::string &task) {
    if (!options.profile)
      return;
    auto times = model.device().pool().profile();
    double total = 0;
    for (const KernelTime &time : times)
      total += time.seconds;
    std::string text =
        fmt::format("profile of {} ({} runs):\n", task, options.repetitions);
    for (const KernelTime &time : times)
      text += fmt::format("  {:<44} {:>8} calls {:>10.3f} ms {:>6.1f}%\n",
                          time.name, time.calls, time.seconds * 1e3,
                          total > 0 ? time.seconds / total * 100 : 0);
    profiles.push_back(text);
    traces.push_back({task, model.device().pool().spans()});
    model.device().pool().clearProfile();
  }

  const BenchOptions &options;
  Model &model;
  Series prefill, decode, train;
  MachineLimits limits;
  std::vector<std::string> profiles;
  std::vector<TracedTask> traces;
};

Expected<int> runBench(BenchOptions options, const CommonOptions &common) {
  QRT_ASSIGN_OR_RETURN(Model model, openModel(options.model, common));
  const Manifest &manifest = model.manifest();
  QRT_RETURN_IF_ERROR(openWeights(
      model, options.weights.empty() ? "random:0" : options.weights));
  bool infers =
      manifest.findEntry("prefill") >= 0 && manifest.findEntry("decode") >= 0;
  bool trains = manifest.findEntry("micro_step") >= 0;
  // Without a choice: what the module can do and fits.
  bool chosen = options.prefill || options.decode || options.trainStep;
  if (!chosen) {
    int64_t context = manifest.defaults.infer.context;
    if (infers) {
      options.prefill = std::min<int64_t>(512, context);
      options.decode = std::clamp<int64_t>(context - options.depth, 0, 128);
    }
    options.trainStep = trains && !infers;
  }
  Bench bench(options, model);
  QRT_RETURN_IF_ERROR(bench.measureLimits());
  if (options.prefill.value_or(0) > 0 || options.decode.value_or(0) > 0)
    QRT_RETURN_IF_ERROR(bench.runInference(options.prefill.value_or(0),
                                           options.decode.value_or(0)));
  if (options.trainStep)
    QRT_RETURN_IF_ERROR(bench.runTraining());
  QRT_RETURN_IF_ERROR(bench.writeTrace());
  if (common.json) {
    bench.printProfilesToStderr();
    std::printf("%s\n", jsonText(bench.report()).c_str());
  } else {
    bench.print();
  }
  return 0;
}

} // namespace

void qrt::addBenchCommand(CLI::App &app, CommonOptions &common) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App *command =
      addCommand(app, common, "bench", "measure speed",
                 "  qwen-rt bench model.so\n"
                 "  qwen-rt bench model.so --decode 128 --depth 1024 --json\n"
                 "  qwen-rt bench model.so --train-step --profile\n");
  addModelArgument(*command, options->model);
  command->add_option("--weights", options->weights,
                      "weights (default: random ones)");
  command
      ->add_option("--prefill", options->prefill,
                   "prompt tokens (512 if nothing is chosen)")
      ->check(CLI::Range(int64_t(0), int64_t(1) << 31));
  command
      ->add_option("--decode", options->decode,
                   "tokens to generate (128 if nothing is chosen)")
      ->check(CLI::Range(int64_t(0), int64_t(1) << 31));
  command
      ->add_option("--depth", options->depth,
                   "tokens in the cache before decoding")
      ->check(CLI::Range(int64_t(0), int64_t(1) << 31));
  command->add_flag("--train-step", options->trainStep,
                    "one micro step and one optimizer step");
  command->add_option("--reps", options->repetitions, "repetitions (default 5)")
      ->check(CLI::Range(int64_t(1), int64_t(1000)));
  command
      ->add_option("--profile", options->profile,
                   "time of every kernel: a table, and a trace of the last "
                   "repetition for chrome://tracing or Perfetto in FILE")
      ->expected(0, 1)
      ->default_str("profile.json")
      ->type_name("[FILE]");
  addDeviceOptions(*command, common);
  addJsonOption(*command, common);
  onRun(*command, common,
        [options, &common] { return runBench(*options, common); });
}
