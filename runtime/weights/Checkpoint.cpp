//===- Checkpoint.cpp - Saving and resuming a training run ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Checkpoint.h"
#include "runtime/core/Json.h"
#include "runtime/weights/Printable.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace qrt {

namespace {

constexpr const char *completeName = "COMPLETE";
constexpr const char *trainerName = "trainer.json";
constexpr const char *optimizerName = "optimizer.safetensors";
constexpr std::string_view stepPrefix = "step-";
constexpr uint64_t maxTrainerBytes = uint64_t(64) << 20;

std::string stepName(int64_t step) { return fmt::format("step-{:06d}", step); }

/// The step of a directory named step-NNNNNN.
std::optional<int64_t> stepOf(std::string_view name) {
  if (name.substr(0, stepPrefix.size()) != stepPrefix)
    return std::nullopt;
  std::string_view digits = name.substr(stepPrefix.size());
  int64_t step = 0;
  auto [end, failure] =
      std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (failure != std::errc() || end != digits.data() + digits.size() ||
      digits.size() < 6 || digits[0] == '-')
    return std::nullopt;
  return step;
}

/// Names in a directory; nothing if it does not exist.
Expected<std::vector<std::string>> namesIn(const std::string &path) {
  std::vector<std::string> names;
  std::error_code failure;
  fs::directory_iterator it(path, failure), end;
  for (; !failure && it != end; it.increment(failure))
    names.push_back(it->path().filename().string());
  if (failure && failure != std::errc::no_such_file_or_directory)
    return makeError(3001, path, "cannot list the directory: {}",
                     failure.message());
  std::sort(names.begin(), names.end());
  return names;
}

/// (step, name) of all checkpoint directories, oldest first.
Expected<std::vector<std::pair<int64_t, std::string>>>
stepsIn(const std::string &out) {
  QRT_ASSIGN_OR_RETURN(auto names, namesIn(out));
  std::vector<std::pair<int64_t, std::string>> steps;
  for (std::string &name : names)
    if (std::optional<int64_t> step = stepOf(name))
      steps.emplace_back(*step, std::move(name));
  std::sort(steps.begin(), steps.end());
  return steps;
}

Status syncDirectory(const std::string &path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return makeError(3030, path, "cannot open the directory: {}",
                     std::strerror(errno));
  int result = ::fsync(fd);
  int reason = errno;
  ::close(fd);
  // Some file systems have no such thing for directories.
  if (result != 0 && reason != EINVAL && reason != ENOTSUP)
    return makeError(3030, path, "cannot write the directory: {}",
                     std::strerror(reason));
  return Status::success();
}

/// True for names that only interrupted saves leave behind.
bool isLeftover(const std::string &name) {
  auto ends = [&](std::string_view suffix) {
    return name.size() > suffix.size() + 1 &&
           name.compare(name.size() - suffix.size(), suffix.size(), suffix) ==
               0;
  };
  if (name.empty() || name[0] != '.' || !(ends(".tmp") || ends(".old")))
    return false;
  std::string middle = name.substr(1, name.size() - 5);
  return stepOf(middle) || middle == "best" || middle == "latest";
}

void removeLeftovers(const std::string &out) {
  auto names = namesIn(out);
  if (!names)
    return;
  std::error_code ignored;
  for (const std::string &name : *names)
    if (isLeftover(name))
      fs::remove_all(out + "/" + name, ignored);
}

/// Removes a directory unless it has got its real name.
class RemoveUnlessKept {
public:
  explicit RemoveUnlessKept(std::string path) : path(std::move(path)) {}
  ~RemoveUnlessKept() {
    std::error_code ignored;
    if (!path.empty())
      fs::remove_all(path, ignored);
  }
  void keep() { path.clear(); }

private:
  std::string path;
};

/// Moves the finished directory to its name. A checkpoint of the same step
/// changes places with it, so that one of the two always has the name.
Status publish(const std::string &from, const std::string &to,
               const std::string &aside) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (!failure)
    return Status::success();
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(),
                  RENAME_EXCHANGE) == 0) {
    fs::remove_all(from, failure);
    return Status::success();
  }
  // No exchange on this file system: the gap is one system call long.
  fs::rename(to, aside, failure);
  if (!failure) {
    fs::rename(from, to, failure);
    std::error_code ignored;
    if (failure)
      fs::rename(aside, to, ignored);
  }
  if (failure)
    return makeError(3030, to, "cannot rename the finished checkpoint: {}",
                     failure.message());
  fs::remove_all(aside, failure);
  return Status::success();
}

nlohmann::json generationConfigOf(const nlohmann::json &hfConfig) {
  nlohmann::json result = nlohmann::json::object();
  for (const char *key : {"bos_token_id", "eos_token_id", "pad_token_id"})
    if (hfConfig.is_object() && hfConfig.contains(key) &&
        !hfConfig[key].is_null())
      result[key] = hfConfig[key];
  return result;
}

/// All files but COMPLETE.
Status writeFiles(const std::string &dir, const CheckpointData &data,
                  uint64_t shardBytes) {
  const std::map<std::string, std::string> meta = {{"format", "pt"}};
  QRT_ASSIGN_OR_RETURN(auto weights,
                       parameterTensors(*data.parameters, data.weights));
  QRT_RETURN_IF_ERROR(writeModelFiles(dir, weights, shardBytes));
  if (data.moment1 && data.moment2) {
    QRT_ASSIGN_OR_RETURN(
        auto moments,
        parameterTensors(*data.parameters, data.moment1, "moment1."));
    QRT_ASSIGN_OR_RETURN(
        auto second,
        parameterTensors(*data.parameters, data.moment2, "moment2."));
    moments.insert(moments.end(), second.begin(), second.end());
    QRT_RETURN_IF_ERROR(
        writeSafetensors(dir + "/" + optimizerName, moments, meta));
  }
  auto writeJson = [&](const char *name, const nlohmann::json &json) {
    return writeFileAtomically(dir + "/" + name, jsonText(json, 2) + "\n");
  };
  QRT_RETURN_IF_ERROR(writeJson("config.json", data.hfConfig));
  QRT_RETURN_IF_ERROR(writeJson("generation_config.json",
                                data.generationConfig.is_null()
                                    ? generationConfigOf(data.hfConfig)
                                    : data.generationConfig));
  for (const auto &[name, text] : data.files)
    QRT_RETURN_IF_ERROR(writeFileAtomically(dir + "/" + name, text));
  const TrainerState &t = data.trainer;
  return writeJson(trainerName, {{"format", 1},
                                 {"step", t.step},
                                 {"sequences", t.sequences},
                                 {"tokens", t.tokens},
                                 {"seed", t.seed},
                                 {"trainer", t.extra}});
}

/// The list of files and sizes, written when all of them are on the disk.
Status writeComplete(const std::string &dir) {
  QRT_ASSIGN_OR_RETURN(auto names, namesIn(dir));
  nlohmann::json sizes = nlohmann::json::object();
  for (const std::string &name : names) {
    std::error_code failure;
    uint64_t size = fs::file_size(dir + "/" + name, failure);
    if (failure)
      return makeError(3030, dir + "/" + name, "cannot read its size: {}",
                       failure.message());
    sizes[name] = size;
  }
  QRT_RETURN_IF_ERROR(syncDirectory(dir));
  return writeFileAtomically(dir + "/" + completeName,
                             jsonText({{"files", sizes}}, 2) + "\n");
}

} // namespace

Status writeModelFiles(const std::string &dir,
                       const std::vector<OutputTensor> &tensors,
                       uint64_t shardBytes) {
  const std::map<std::string, std::string> meta = {{"format", "pt"}};
  std::vector<std::vector<OutputTensor>> shards(1);
  uint64_t inShard = 0, total = 0;
  for (const OutputTensor &t : tensors) {
    uint64_t bytes = t.bytes();
    if (!shards.back().empty() && inShard + bytes > shardBytes) {
      shards.emplace_back();
      inShard = 0;
    }
    inShard += bytes;
    total += bytes;
    shards.back().push_back(t);
  }
  if (shards.size() == 1)
    return writeSafetensors(dir + "/model.safetensors", shards[0], meta);
  nlohmann::json map = nlohmann::json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    std::string name =
        fmt::format("model-{:05d}-of-{:05d}.safetensors", i + 1, shards.size());
    QRT_RETURN_IF_ERROR(writeSafetensors(dir + "/" + name, shards[i], meta));
    for (const OutputTensor &t : shards[i])
      map[t.name] = name;
  }
  nlohmann::json index = {{"metadata", {{"total_size", total}}},
                          {"weight_map", map}};
  return writeFileAtomically(dir + "/model.safetensors.index.json",
                             jsonText(index, 2) + "\n");
}

Expected<std::string> saveCheckpoint(const std::string &out,
                                     const CheckpointData &data,
                                     uint64_t shardBytes) {
  for (const auto &[name, text] : data.files)
    if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos)
      return makeError(3030, out, "'{}' cannot be a file of a checkpoint",
                       printable(name));
  std::error_code failure;
  fs::create_directories(out, failure);
  if (failure)
    return makeError(3030, out, "cannot create the directory: {}",
                     failure.message());
  removeLeftovers(out);
  std::string name = stepName(data.trainer.step);
  std::string temporary = out + "/." + name + ".tmp";
  if (::mkdir(temporary.c_str(), 0777) != 0)
    return makeError(3030, temporary, "cannot create the directory: {}",
                     std::strerror(errno));
  RemoveUnlessKept guard(temporary);
  QRT_RETURN_IF_ERROR(writeFiles(temporary, data, shardBytes));
  QRT_RETURN_IF_ERROR(writeComplete(temporary));
  QRT_RETURN_IF_ERROR(
      publish(temporary, out + "/" + name, out + "/." + name + ".old"));
  guard.keep();
  QRT_RETURN_IF_ERROR(syncDirectory(out));
  QRT_RETURN_IF_ERROR(linkCheckpoint(out, "latest", name));
  return name;
}

Status linkCheckpoint(const std::string &out, const std::string &link,
                      const std::string &name) {
  std::string path = out + "/" + link, temporary = out + "/." + link + ".tmp";
  ::unlink(temporary.c_str());
  if (::symlink(name.c_str(), temporary.c_str()) != 0 ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    int reason = errno;
    ::unlink(temporary.c_str());
    return makeError(3030, path, "cannot make the link to {}: {}", name,
                     std::strerror(reason));
  }
  return syncDirectory(out);
}

Status pruneCheckpoints(const std::string &out, int64_t keep,
                        int64_t keepEvery) {
  if (keep <= 0)
    return Status::success();
  QRT_ASSIGN_OR_RETURN(auto steps, stepsIn(out));
  std::set<std::string> linked;
  for (const char *link : {"best", "latest"}) {
    std::error_code failure;
    fs::path target = fs::read_symlink(out + "/" + link, failure);
    if (!failure)
      linked.insert(target.filename().string());
  }
  // Only whole ones count: deleting by number must not leave torn ones alone.
  std::vector<std::string> complete;
  for (auto &[step, name] : steps)
    if (!(keepEvery > 0 && step % keepEvery == 0) &&
        checkCheckpoint(out + "/" + name))
      complete.push_back(name);
  size_t excess =
      complete.size() - std::min(complete.size(), static_cast<size_t>(keep));
  for (size_t i = 0; i < excess; ++i) {
    if (linked.count(complete[i]))
      continue;
    // First away from its name, so that a kill leaves nothing half-deleted.
    std::string path = out + "/" + complete[i];
    std::string aside = out + "/." + complete[i] + ".old";
    std::error_code failure;
    fs::remove_all(aside, failure);
    fs::rename(path, aside, failure);
    if (!failure)
      fs::remove_all(aside, failure);
    if (failure)
      return makeError(3030, path, "cannot delete the old checkpoint: {}",
                       failure.message());
  }
  return Status::success();
}

Status checkCheckpoint(const std::string &dir) {
  std::string path = dir + "/" + completeName;
  std::error_code failure;
  if (!fs::is_regular_file(path, failure))
    return makeError(3031, dir, "the checkpoint has no file {}", completeName);
  if (!fs::is_regular_file(dir + "/" + trainerName, failure))
    return makeError(3031, dir, "the checkpoint has no file {}", trainerName);
  // An empty mark says nothing about sizes.
  if (fs::file_size(path, failure) == 0)
    return Status::success();
  QRT_ASSIGN_OR_RETURN(auto json, readJsonFile(path, maxTrainerBytes));
  if (!json.is_object() || !json.contains("files") ||
      !json["files"].is_object())
    return makeError(3031, path, "the list of files is damaged");
  for (auto &[name, size] : json["files"].items()) {
    if (!size.is_number_unsigned() || name.find('/') != std::string::npos)
      return makeError(3031, path, "the list of files is damaged");
    uint64_t found = fs::file_size(dir + "/" + name, failure);
    if (failure)
      return makeError(3031, dir, "the file {} of the checkpoint is missing",
                       printable(name));
    if (found != size.get<uint64_t>())
      return makeError(3031, dir, "the file {} has {} bytes, {} were saved",
                       printable(name), found, size.get<uint64_t>());
  }
  return Status::success();
}

Expected<std::optional<std::string>>
findLatestComplete(const std::string &out, std::vector<std::string> *ignored) {
  QRT_ASSIGN_OR_RETURN(auto steps, stepsIn(out));
  for (auto it = steps.rbegin(); it != steps.rend(); ++it) {
    std::string path = out + "/" + it->second;
    Status status = checkCheckpoint(path);
    if (status)
      return std::optional<std::string>(path);
    if (ignored)
      ignored->push_back(status.error().str());
  }
  return std::optional<std::string>();
}

Expected<TrainerState> readTrainerState(const std::string &dir) {
  std::string path = dir + "/" + trainerName;
  QRT_ASSIGN_OR_RETURN(auto json, readJsonFile(path, maxTrainerBytes));
  auto count = [&](const char *key) -> Expected<uint64_t> {
    if (!json.is_object() || !json.contains(key) ||
        !json[key].is_number_unsigned())
      return makeError(3032, path, "'{}' is not a non-negative integer", key);
    return json[key].get<uint64_t>();
  };
  QRT_ASSIGN_OR_RETURN(uint64_t format, count("format"));
  if (format != 1)
    return makeError(3032, path, "format {} is not known (1 is)", format);
  TrainerState state;
  for (auto [key, field] : {std::pair("step", &state.step),
                            std::pair("sequences", &state.sequences),
                            std::pair("tokens", &state.tokens)}) {
    QRT_ASSIGN_OR_RETURN(uint64_t value, count(key));
    if (value > uint64_t(1) << 62)
      return makeError(3032, path, "'{}' is {}, which is too large", key,
                       value);
    *field = static_cast<int64_t>(value);
  }
  QRT_ASSIGN_OR_RETURN(state.seed, count("seed"));
  if (json.contains("trainer"))
    state.extra = json["trainer"];
  return state;
}

Expected<std::unique_ptr<WeightSource>> openMoments(const std::string &dir) {
  return WeightSource::open(dir + "/" + optimizerName);
}

Status loadMoments(const std::string &dir,
                   const std::vector<ParameterInfo> &parameters,
                   const ParameterPointer &moment1,
                   const ParameterPointer &moment2,
                   const ParallelTasks &parallel) {
  QRT_ASSIGN_OR_RETURN(auto source, openMoments(dir));
  return loadParameterSets(*source, parameters,
                           {{"moment1.", moment1}, {"moment2.", moment2}},
                           parallel);
}

} // namespace qrt
