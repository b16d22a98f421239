//===- TrainCommand.cpp - qwen-rt train -----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/core/Signals.h"
#include "runtime/train/Trainer.h"
#include "runtime/weights/File.h"
#include "tools/qwen-rt/Model.h"
#include "tools/qwen-rt/Samples.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

using namespace qrt;
namespace fs = std::filesystem;

namespace {

struct TrainOptions {
  std::string model, val, out, weights, resume, dataType;
  std::vector<std::string> data, settings;
  bool acceptChanges = false;
  std::optional<int64_t> steps;
  std::optional<double> peakTflops;
};

/// FILE or FILE=WEIGHT. A file that is there by the whole name has no weight.
DataEntry parseDataArgument(const std::string &argument) {
  DataEntry entry;
  entry.file = argument;
  size_t equals = argument.rfind('=');
  std::error_code ignored;
  if (equals == std::string::npos || equals == 0 ||
      fs::exists(argument, ignored))
    return entry;
  const char *begin = argument.c_str() + equals + 1;
  char *end = nullptr;
  double weight = std::strtod(begin, &end);
  if (end == begin || *end != '\0' || !(weight >= 1e-9 && weight <= 1e9))
    return entry;
  entry.file = argument.substr(0, equals);
  entry.weight = weight;
  return entry;
}

/// An error unless the module's training takes the numbers of documents.
Status requireDocumentMask(const Manifest &manifest, const std::string &model) {
  for (const char *name : {"micro_step", "eval_loss"})
    if (int index = manifest.findEntry(name); index >= 0)
      if (!manifest.entries[index].findArg(ArgRole::Input, "documents"))
        return makeError(8011, model,
                         "train.document_mask: the module's {} has no input "
                         "for documents",
                         name);
  return Status::success();
}

/// Defaults of the module, then --set, then the flags of their own.
Expected<ManifestDefaults> readSettings(const TrainOptions &options,
                                        const Manifest &manifest) {
  ManifestDefaults settings = manifest.defaults;
  std::vector<std::string> assignments = options.settings;
  if (options.steps)
    assignments.push_back(
        fmt::format("train.schedule.steps={}", *options.steps));
  QRT_RETURN_IF_ERROR(checkHorizons(assignments));
  for (const std::string &assignment : assignments)
    QRT_RETURN_IF_ERROR(applySetting(settings, assignment));
  if (!options.data.empty()) {
    settings.train.data.clear();
    for (const std::string &argument : options.data)
      settings.train.data.push_back(parseDataArgument(argument));
  }
  for (DataEntry &entry : settings.train.data)
    if (entry.width == 0)
      entry.width = idWidth(options.dataType);
  QRT_RETURN_IF_ERROR(checkSettings(settings));
  if (settings.train.data.empty())
    return makeError(
        8008, "",
        "no training data: give --data F; files are made with\n"
        "  qwen-rt data prepare TEXT... -o d --tokenizer T   (from your text)\n"
        "  qwen-rt data synth -o d                           (self-made)\n"
        "and used with --data d/train.bin");
  return settings;
}

/// Where the run goes, and the checkpoint it begins from (empty: none).
struct Place {
  std::string out, checkpoint;
};

Expected<Place> choosePlace(const TrainOptions &options,
                            const Manifest &manifest) {
  Place place;
  place.out = options.out.empty() ? defaultRunDirectory(manifest) : options.out;
  std::error_code failed;
  if (!options.resume.empty() && options.resume != "auto") {
    QRT_RETURN_IF_ERROR(checkCheckpoint(options.resume));
    fs::path whole = fs::canonical(options.resume, failed);
    place.checkpoint = failed ? options.resume : whole.string();
    if (options.out.empty())
      place.out = fs::path(place.checkpoint).parent_path().string();
    return place;
  }
  bool isThere = fs::exists(place.out, failed);
  if (isThere && !fs::is_directory(place.out, failed))
    return makeError(8007, place.out, "the output is not a directory");
  if (options.resume == "auto") {
    if (isThere) {
      std::vector<std::string> ignored;
      QRT_ASSIGN_OR_RETURN(auto latest,
                           findLatestComplete(place.out, &ignored));
      for (const std::string &reason : ignored)
        std::fprintf(stderr, "warning: %s\n", reason.c_str());
      place.checkpoint = latest.value_or("");
    }
    return place;
  }
  if (isThere && !fs::is_empty(place.out, failed))
    return makeError(8007, place.out,
                     "the output directory is not empty; continue the run in "
                     "it with --resume auto, or give another --out");
  return place;
}

/// Files about the tokenizer that checkpoints carry along: from beside the
/// data, else from beside the weights.
std::map<std::string, std::string>
tokenizerFiles(const std::vector<DataEntry> &data,
               const WeightSource &weights) {
  constexpr const char *names[] = {"tokenizer.json", "tokenizer_config.json",
                                   "special_tokens_map.json",
                                   "chat_template.jinja"};
  std::map<std::string, std::string> files;
  std::vector<fs::path> places = {fs::path(data.front().file).parent_path()};
  if (places.front().empty())
    places.front() = ".";
  if (!weights.directory().empty())
    places.push_back(weights.directory());
  for (const fs::path &place : places) {
    for (const char *name : names)
      if (auto text = readSmallFile((place / name).string(), 256 << 20))
        files[name] = std::move(*text);
    if (files.count("tokenizer.json"))
      return files;
    files.clear();
  }
  if (const GgufFile *gguf = weights.gguf())
    if (auto tokenizer = tokenizerFromGguf(*gguf))
      if (auto text = (*tokenizer)->toJson())
        files["tokenizer.json"] = std::move(*text);
  return files;
}

/// The validation files: --val, else val.bin beside the first data file.
std::string validationFile(const TrainOptions &options,
                           const ManifestDefaults &settings) {
  if (!options.val.empty())
    return options.val;
  fs::path beside =
      fs::path(settings.train.data.front().file).parent_path() / "val.bin";
  std::error_code failed;
  return fs::is_regular_file(beside, failed) ? beside.string() : "";
}

Expected<int> runTrain(const TrainOptions &options,
                       const CommonOptions &common) {
  QRT_ASSIGN_OR_RETURN(Model model, openModel(options.model, common));
  const Manifest &manifest = model.manifest();
  if (manifest.findEntry("micro_step") < 0 ||
      manifest.findEntry("optimizer_step") < 0)
    return makeError(8009, options.model,
                     "the module is not compiled for training; compile it with "
                     "--for train");
  TrainerOptions trainer;
  QRT_ASSIGN_OR_RETURN(trainer.settings, readSettings(options, manifest));
  const ManifestDefaults &settings = trainer.settings;
  QRT_ASSIGN_OR_RETURN(trainer.steps, horizonSteps(settings, manifest));
  trainer.peakTflops = options.peakTflops;

  auto sequence = static_cast<uint64_t>(settings.train.sequence);
  auto vocab = static_cast<uint64_t>(manifest.vocab());
  QRT_ASSIGN_OR_RETURN(
      TokenDataset dataset,
      TokenDataset::open(settings.train.data, sequence, vocab));
  QRT_RETURN_IF_ERROR(dataset.requireWholeWindow());
  if (settings.train.documentMask) {
    QRT_RETURN_IF_ERROR(requireDocumentMask(manifest, options.model));
    QRT_RETURN_IF_ERROR(dataset.requireDocuments());
  }
  QRT_ASSIGN_OR_RETURN(trainer.data, dataset.describe());
  std::optional<TokenDataset> validation;
  std::string valFile = validationFile(options, settings);
  if (!valFile.empty() && manifest.findEntry("eval_loss") >= 0) {
    QRT_ASSIGN_OR_RETURN(
        validation,
        TokenDataset::open({{valFile, 0, idWidth(options.dataType)}}, sequence,
                           vocab));
    if (settings.train.documentMask)
      QRT_RETURN_IF_ERROR(validation->requireDocuments());
  }

  QRT_ASSIGN_OR_RETURN(Place place, choosePlace(options, manifest));
  std::string weights = options.weights;
  if (!place.checkpoint.empty())
    weights = place.checkpoint;
  else if (weights.empty())
    weights = fmt::format("random:{}", settings.train.seed);
  QRT_RETURN_IF_ERROR(openWeights(model, weights));
  trainer.files = tokenizerFiles(settings.train.data, *model.weights);
  QRT_ASSIGN_OR_RETURN(
      trainer.generationConfig,
      readOptionalJson(model.weights->directory(), "generation_config.json"));
  if (validation && trainer.files.count("tokenizer.json")) {
    QRT_ASSIGN_OR_RETURN(
        auto tokenizer,
        tokenizerFromJson(trainer.files["tokenizer.json"], "tokenizer.json"));
    trainer.byteLengths = byteLengthsOf(tokenizer.get(), manifest.vocab());
  }
  if (trainer.generationConfig.is_null() && dataset.files().front().eosId())
    trainer.generationConfig = {
        {"eos_token_id", *dataset.files().front().eosId()}};

  std::vector<std::string> entries = Trainer::entries(manifest);
  std::optional<Samples> samples;
  if (settings.eval.sampleEvery > 0) {
    auto tokenizer = trainer.files.find("tokenizer.json");
    QRT_ASSIGN_OR_RETURN(samples,
                         Samples::create(manifest, settings,
                                         tokenizer == trainer.files.end()
                                             ? std::string()
                                             : tokenizer->second));
    entries.push_back("prefill");
    entries.push_back("decode");
  }
  QRT_ASSIGN_OR_RETURN(std::unique_ptr<SessionGroup> session,
                       createSession(model, entries));
  if (samples) {
    QRT_RETURN_IF_ERROR(samples->bind(*session));
    trainer.sample = [&samples] { return samples->generate(); };
  }
  std::error_code failed;
  fs::create_directories(place.out, failed);
  if (failed)
    return makeError(8007, place.out, "cannot make the output directory: {}",
                     failed.message());
  trainer.out = place.out;
  std::fprintf(
      stderr, "%s: %s parameters, %lld steps of %s tokens -> %s%s\n",
      manifest.name.c_str(),
      formatCount(double(manifest.parameterCount())).c_str(),
      static_cast<long long>(trainer.steps),
      formatCount(double(tokensPerStep(settings))).c_str(), place.out.c_str(),
      place.checkpoint.empty()
          ? ""
          : fmt::format(" (resumed from {})", place.checkpoint).c_str());

  TrainingOrder order(dataset, settings.train.seed);
  std::optional<ReadingOrder> readingOrder;
  if (validation)
    readingOrder.emplace(*validation);
  Trainer run(*session, order, readingOrder ? &*readingOrder : nullptr,
              std::move(trainer));
  if (!place.checkpoint.empty())
    QRT_RETURN_IF_ERROR(run.resume(place.checkpoint, options.acceptChanges));
  catchStopSignals();
  QRT_ASSIGN_OR_RETURN(int status, run.run());
  if (common.json)
    std::printf("%s\n",
                jsonText({{"out", place.out}, {"step", run.step()}}).c_str());
  return status;
}

} // namespace

void qrt::addTrainCommand(CLI::App &app, CommonOptions &common) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App *command = addCommand(
      app, common, "train", "train a model",
      "  qwen-rt train model.so --data d/train.bin\n"
      "  qwen-rt train model.so --data d/train.bin --steps 500 --set "
      "train.optimizer.lr=3e-4\n"
      "  qwen-rt train model.so --data d/train.bin --resume auto\n"
      "  qwen-rt train model.so --data books.bin=3 --data code.bin=1\n"
      "--set takes train.{accumulate, seed, data, document_mask, nonfinite, "
      "max_skips,\nskip_outliers, schedule.*}, train.optimizer.{lr, betas, "
      "eps, weight_decay, clip},\ncheckpoint.*, eval.* and log.*.\n");
  addModelArgument(*command, options->model);
  command->add_option("--data", options->data,
                      "token files, or FILE=WEIGHT to mix them (default: "
                      "train.data of the model)");
  addDataTypeOption(*command, options->dataType);
  command->add_option("--val", options->val,
                      "token file for validation (default: val.bin beside the "
                      "first data file, if there)");
  command
      ->add_option("--steps", options->steps,
                   "length of the run in optimizer steps")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 40));
  command->add_option("--out", options->out,
                      "directory of the run (default: runs/<model name>)");
  command->add_option("--weights", options->weights,
                      "initial weights (default: random from train.seed)");
  command->add_option("--resume", options->resume,
                      "auto: the newest complete checkpoint of the run, if "
                      "any; or a checkpoint's directory");
  command->add_flag("--accept-changes", options->acceptChanges,
                    "resume with other data or settings than those of the "
                    "checkpoint");
  command
      ->add_option("--set", options->settings,
                   "key=value; changes a default of the model (may be "
                   "repeated)")
      ->allow_extra_args(false);
  command
      ->add_option("--peak-tflops", options->peakTflops,
                   "peak of this machine, for mfu")
      ->check(CLI::PositiveNumber);
  addDeviceOptions(*command, common);
  addJsonOption(*command, common);
  onRun(*command, common,
        [options, &common] { return runTrain(*options, common); });
}
