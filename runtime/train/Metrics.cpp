//===- Metrics.cpp - What a run writes about itself -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Metrics.h"
#include "runtime/core/Json.h"
#include "runtime/train/EventFile.h"
#include "runtime/weights/Safetensors.h"

#include <chrono>
#include <filesystem>
#include <fstream>

using namespace qrt;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

/// A column of metrics.csv: the key of events of one type.
struct Column {
  const char *name, *type, *key;
};
constexpr Column columns[] = {
    {"loss", "step", "loss"},
    {"grad_norm", "step", "grad_norm"},
    {"lr", "step", "lr"},
    {"tokens", "step", "tokens"},
    {"tokens_per_s", "step", "tokens_per_s"},
    {"mfu", "step", "mfu"},
    {"mfu_causal", "step", "mfu_causal"},
    {"seconds", "step", "seconds"},
    {"loss_z", "step", "loss_z"},
    {"grad_norm_z", "step", "grad_norm_z"},
    {"skipped", "step", "skipped"},
    {"eval_loss", "eval", "loss"},
    {"eval_accuracy", "eval", "accuracy"},
    {"eval_perplexity", "eval", "perplexity"},
    {"eval_bits_per_byte", "eval", "bits_per_byte"},
};

std::string tableHead() {
  std::string line = "step";
  for (const Column &column : columns)
    line += std::string(",") + column.name;
  return line + "\n";
}

/// The event's line of metrics.csv; empty for events that have none.
std::string tableLine(const json &event) {
  std::string type = event.value("type", "");
  if ((type != "step" && type != "eval") || !event.contains("step"))
    return "";
  std::string line = event["step"].dump();
  for (const Column &column : columns) {
    line += ',';
    if (type != column.type)
      continue;
    auto value = event.find(column.key);
    if (value != event.end() && value->is_boolean())
      line += value->get<bool>() ? '1' : '0';
    else if (value != event.end() && value->is_number())
      line += value->dump();
  }
  return line + "\n";
}

double wallTime() {
  return std::chrono::duration<double>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// The event for TensorBoard; empty for events that have nothing to show.
std::string eventRecord(const json &event) {
  std::string type = event.value("type", "");
  auto step = event.find("step");
  if (step == event.end() || !step->is_number_integer())
    return "";
  if (type == "sample") {
    std::string text;
    for (const json &sample : event["samples"])
      text += fmt::format("**{}**{}\n\n", sample.value("prompt", ""),
                          sample.value("text", ""));
    return eventText(wallTime(), step->get<int64_t>(), "samples", text);
  }
  std::string prefix = type == "step"   ? "train/"
                       : type == "eval" ? "eval/"
                                        : "";
  if (prefix.empty() && type != "device")
    return "";
  std::vector<std::pair<std::string, float>> values;
  for (auto &[key, value] : event.items())
    if (value.is_number() && key != "step")
      values.emplace_back(prefix + key, value.get<float>());
  return values.empty()
             ? ""
             : eventScalars(wallTime(), step->get<int64_t>(), values);
}

constexpr const char *eventPrefix = "events.out.tfevents.";

/// Removes what starts left that were killed while they rewrote the log.
void removeLeftovers(const std::string &out) {
  std::error_code failed;
  for (const auto &entry : fs::directory_iterator(out, failed)) {
    std::string name = entry.path().filename().string();
    std::error_code ignored;
    if (name.rfind(".metrics.", 0) == 0 && entry.path().extension() == ".tmp")
      fs::remove(entry.path(), ignored);
  }
}

} // namespace

Status RunMetrics::openRecord(int64_t step, std::string &lines) {
  std::string path = out + "/metrics.jsonl", kept;
  bool changed = false;
  {
    std::ifstream old(path, std::ios::binary);
    for (std::string line; std::getline(old, line);) {
      // The last line may be cut off by a kill, if only its end.
      changed |= old.eof();
      Expected<json> event = parseJson(line, path, 16);
      bool keep = event && event->is_object();
      if (keep && event->contains("step") &&
          (*event)["step"].is_number_integer())
        keep = (*event)["step"].get<int64_t>() <= step;
      if (!keep) {
        changed = true;
        continue;
      }
      kept += line + "\n";
      lines += tableLine(*event);
      if (auto it = event->find("seconds");
          it != event->end() && it->is_number())
        lastSeconds = it->get<double>();
    }
  }
  if (changed)
    QRT_RETURN_IF_ERROR(writeFileAtomically(path, kept));
  empty = kept.empty();
  return record.open(path);
}

/// Every start writes a file of its own: readers go through them by name.
Status RunMetrics::openEvents(int64_t step) {
  std::string name = fmt::format("{}{:010}.qwen-rt", eventPrefix, step);
  std::error_code failed;
  for (const auto &entry : fs::directory_iterator(out, failed))
    if (std::string other = entry.path().filename().string();
        other.rfind(eventPrefix, 0) == 0 && other >= name) {
      std::error_code ignored;
      fs::remove(entry.path(), ignored);
    }
  QRT_RETURN_IF_ERROR(events.open(out + "/" + name));
  QRT_RETURN_IF_ERROR(events.append(eventFileHeader(wallTime())));
  return step > 0 ? events.append(eventRestart(wallTime(), step + 1))
                  : Status::success();
}

Status RunMetrics::open(const std::string &directory, int64_t step) {
  out = directory;
  removeLeftovers(out);
  std::string lines;
  QRT_RETURN_IF_ERROR(openRecord(step, lines));
  QRT_RETURN_IF_ERROR(
      writeFileAtomically(out + "/metrics.csv", tableHead() + lines));
  QRT_RETURN_IF_ERROR(table.open(out + "/metrics.csv"));
  return openEvents(step);
}

Status RunMetrics::write(const json &event) {
  empty = false;
  QRT_RETURN_IF_ERROR(record.append(jsonText(event) + "\n"));
  QRT_RETURN_IF_ERROR(table.append(tableLine(event)));
  return events.append(eventRecord(event));
}

Status RunMetrics::finish() {
  QRT_RETURN_IF_ERROR(record.flush());
  QRT_RETURN_IF_ERROR(table.flush());
  return events.flush();
}
