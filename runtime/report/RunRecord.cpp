//===- RunRecord.cpp - What a run has written about itself ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/report/RunRecord.h"
#include "runtime/core/Json.h"
#include "runtime/core/Progress.h"
#include "runtime/weights/File.h"

#include <algorithm>
#include <filesystem>
#include <functional>

using namespace qrt;
using nlohmann::json;
namespace fs = std::filesystem;

const json *RunRecord::best() const {
  const json *result = nullptr;
  for (const json &event : evals)
    if (event.contains("loss") && event["loss"].is_number() &&
        (!result || event["loss"] < (*result)["loss"]))
      result = &event;
  return result;
}

std::optional<double> RunRecord::medianSpeed() const {
  std::vector<double> speeds;
  for (size_t i = steps.size() > 1 ? 1 : 0; i < steps.size(); ++i)
    if (auto it = steps[i].find("tokens_per_s");
        it != steps[i].end() && it->is_number())
      speeds.push_back(it->get<double>());
  if (speeds.empty())
    return std::nullopt;
  auto middle = speeds.begin() + static_cast<ptrdiff_t>(speeds.size() / 2);
  std::nth_element(speeds.begin(), middle, speeds.end());
  return *middle;
}

Expected<RunRecord> qrt::readRun(const std::string &path) {
  std::error_code failed;
  fs::path place(path);
  fs::path file =
      fs::is_directory(place, failed) ? place / "metrics.jsonl" : place;
  RunRecord run;
  run.config = json::object();
  fs::path folder = fs::absolute(file, failed).lexically_normal().parent_path();
  run.name = folder.filename().string();
  QRT_ASSIGN_OR_RETURN(std::string text,
                       readSmallFile(file.string(), uint64_t(4) << 30));
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos)
      break; // cut off, or about to be written
    ++number;
    std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (line.empty())
      continue;
    auto event =
        parseJson(line, fmt::format("{}:{}", file.string(), number), 16);
    if (!event)
      return event.error();
    auto type = event->is_object() ? event->find("type") : event->end();
    if (type == event->end())
      continue;
    if (*type == "config")
      run.config = std::move(*event);
    else if (*type == "step")
      run.steps.push_back(std::move(*event));
    else if (*type == "eval")
      run.evals.push_back(std::move(*event));
  }
  if (run.steps.empty())
    return makeError(8012, file.string(), "the run has not logged a step yet");
  return run;
}

json qrt::compareRuns(const std::vector<RunRecord> &runs) {
  json rows = json::array();
  auto valueOf = [](const json *from, const char *key) {
    return from && from->contains(key) ? (*from)[key] : json(nullptr);
  };
  for (const RunRecord &run : runs) {
    const json &last = run.steps.back();
    const json *best = run.best();
    json train = valueOf(&run.config, "train");
    json optimizer = train.is_object() ? valueOf(&train, "optimizer") : json();
    auto speed = run.medianSpeed();
    rows.push_back(
        {{"run", run.name},
         {"model", valueOf(&run.config, "model")},
         {"parameters", valueOf(&run.config, "parameters")},
         {"steps", valueOf(&last, "step")},
         {"tokens", valueOf(&last, "tokens")},
         {"loss", valueOf(&last, "loss")},
         {"eval_loss", valueOf(best, "loss")},
         {"accuracy", valueOf(best, "accuracy")},
         {"bits_per_byte", valueOf(best, "bits_per_byte")},
         {"tokens_per_s", speed ? json(*speed) : json(nullptr)},
         {"seconds", valueOf(&last, "seconds")},
         {"lr", optimizer.is_object() ? valueOf(&optimizer, "lr") : json()},
         {"seed", train.is_object() ? valueOf(&train, "seed") : json()}});
  }
  return rows;
}

std::string qrt::compareTable(const std::vector<RunRecord> &runs) {
  auto text = [](const json &value) {
    return value.is_null()     ? std::string("-")
           : value.is_string() ? value.get<std::string>()
                               : value.dump();
  };
  auto count = [&](const json &value) {
    return value.is_number() ? formatCount(value.get<double>()) : text(value);
  };
  auto real = [&](const json &value) {
    return value.is_number() ? fmt::format("{:.4f}", value.get<double>())
                             : text(value);
  };
  auto time = [&](const json &value) {
    return value.is_number() ? formatDuration(value.get<double>())
                             : text(value);
  };
  using Show = std::function<std::string(const json &)>;
  const std::vector<std::pair<const char *, Show>> columns = {
      {"run", text},           {"model", text},    {"parameters", count},
      {"steps", text},         {"tokens", count},  {"loss", real},
      {"eval_loss", real},     {"accuracy", real}, {"bits_per_byte", real},
      {"tokens_per_s", count}, {"seconds", time},  {"lr", text},
      {"seed", text}};
  std::vector<std::vector<std::string>> cells(1);
  for (const auto &[name, show] : columns)
    cells[0].push_back(name);
  json rows = compareRuns(runs);
  for (const json &row : rows) {
    cells.emplace_back();
    for (const auto &[name, show] : columns)
      cells.back().push_back(show(row[name]));
  }
  std::string result;
  for (const auto &row : cells) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      size_t width = 0;
      for (const auto &other : cells)
        width = std::max(width, other[c].size());
      // Words to the left, numbers to the right.
      std::string pad(width - row[c].size(), ' ');
      line += c < 2 ? row[c] + pad : pad + row[c];
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  }
  return result;
}
