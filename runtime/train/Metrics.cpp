//===- Metrics.cpp - metrics.jsonl ----------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Metrics.h"
#include "runtime/core/Json.h"
#include "runtime/weights/Safetensors.h"

#include <cerrno>
#include <cstring>
#include <fstream>

using namespace qrt;
using nlohmann::json;

Status MetricsFile::open(const std::string &out, int64_t step) {
  path = out + "/metrics.jsonl";
  std::string kept;
  bool changed = false;
  {
    std::ifstream old(path, std::ios::binary);
    for (std::string line; std::getline(old, line);) {
      // The last line may be cut off by a kill.
      Expected<json> event = parseJson(line, path, 16);
      bool keep = event && event->is_object();
      if (keep && event->contains("step") &&
          (*event)["step"].is_number_integer())
        keep = (*event)["step"].get<int64_t>() <= step;
      if (keep)
        kept += line + "\n";
      else
        changed = true;
    }
  }
  if (changed)
    QRT_RETURN_IF_ERROR(writeFileAtomically(path, kept));
  empty = kept.empty();
  file.reset(std::fopen(path.c_str(), "ae"));
  if (!file)
    return makeError(8005, path, "cannot write: {}", std::strerror(errno));
  return Status::success();
}

Status MetricsFile::write(const json &event) {
  std::string line = jsonText(event) + "\n";
  if (std::fwrite(line.data(), 1, line.size(), file.get()) != line.size() ||
      std::fflush(file.get()) != 0)
    return makeError(8005, path, "cannot write: {}", std::strerror(errno));
  empty = false;
  return Status::success();
}
