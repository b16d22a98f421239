//===- Manifest.cpp - What a module says about itself ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Manifest.h"
#include "runtime/abi/qwen_module.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sys/stat.h>

using namespace qrt;

std::string_view qrt::nameOf(ArgRole role) {
  constexpr std::string_view names[] = {"input",    "output",       "parameter",
                                        "gradient", "gradient_sum", "moment1",
                                        "moment2",  "cache",        "mesh"};
  return names[static_cast<int>(role)];
}

Status ExtentInfo::check(const std::string &entry, int64_t value) const {
  if (value < 1 || value > max)
    return makeError(6030, "",
                     "entry point '{}': {} is {}, the module is compiled for "
                     "1 to {}",
                     entry, name, value, max);
  if (value % multiple)
    return makeError(6030, "",
                     "entry point '{}': {} is {}, which is not a multiple of "
                     "{}: the module splits it over devices "
                     "(parallel.sequence_residual)",
                     entry, name, value, multiple);
  return Status::success();
}

std::string FileView::nameOfLayer(int64_t layer) const {
  std::string result = name;
  if (size_t at = result.find("{i}"); at != std::string::npos)
    result.replace(at, 3, std::to_string(layer));
  return result;
}

int64_t ParameterInfo::elementsPerLayer() const {
  int64_t result = 1;
  for (int64_t size : shape)
    result *= size;
  return result;
}

int64_t ParameterInfo::elementsPerLayer(std::string_view storage) const {
  int64_t all = elementsPerLayer();
  if (storage == "int8_scale" || storage == "int4_scale")
    return shape.empty() ? 1 : shape[0];
  if (storage == "int4")
    return all / 2; // two to a byte
  if (storage == "int4_step")
    return all / 32; // one a group
  return all;
}

size_t ParameterInfo::rank(std::string_view storage) const {
  bool isScale = storage == "int8_scale" || storage == "int4_scale";
  return isScale ? 1 : shape.size();
}

bool Manifest::readsQuantizedWeights(std::string_view name) const {
  int index = findEntry(name);
  if (index < 0)
    return false;
  const std::vector<ArgInfo> &args = entries[index].args;
  return std::any_of(args.begin(), args.end(), [](const ArgInfo &arg) {
    return arg.storage == "int8" || arg.storage == "int4";
  });
}

const ArgInfo *EntryInfo::findArg(ArgRole role, std::string_view name) const {
  for (const ArgInfo &arg : args)
    if (arg.role == role && arg.name == name)
      return &arg;
  return nullptr;
}

int EntryInfo::findExtent(std::string_view name) const {
  for (size_t i = 0; i < extents.size(); ++i)
    if (extents[i].name == name)
      return static_cast<int>(i);
  return -1;
}

int64_t EntryInfo::maxExtent(std::string_view name) const {
  int index = findExtent(name);
  return index < 0 ? 1 : extents[index].max;
}

int64_t EntryInfo::elements(const ArgInfo &arg, const int64_t *actual) const {
  int64_t result = 1;
  for (const DimInfo &dim : arg.shape)
    result *= dim.extent >= 0 && actual ? actual[dim.extent] : dim.size;
  return result;
}

int Manifest::findEntry(std::string_view entryName) const {
  for (size_t i = 0; i < entries.size(); ++i)
    if (entries[i].name == entryName)
      return static_cast<int>(i);
  return -1;
}

int Manifest::findParameter(std::string_view parameterName) const {
  for (size_t i = 0; i < parameters.size(); ++i)
    if (parameters[i].name == parameterName)
      return static_cast<int>(i);
  return -1;
}

const TargetInfo *Manifest::findTarget(std::string_view targetName) const {
  for (const TargetInfo &target : targets)
    if (target.target == targetName)
      return &target;
  return nullptr;
}

int64_t Manifest::parameterCount() const {
  int64_t total = 0;
  for (const ParameterInfo &parameter : parameters)
    total += parameter.elements();
  return total;
}

int64_t Manifest::groupCount() const {
  auto most = int64_t(defaults.train.optimizer.groups.size());
  for (const ParameterInfo &parameter : parameters)
    most = std::max(most, parameter.group + 1);
  return most;
}

bool OptimizerDefaults::usesMuon() const {
  return std::any_of(groups.begin(), groups.end(),
                     [](const auto &group) { return group.muon; });
}

int64_t Manifest::vocab() const {
  auto it = dims.find("vocab");
  return it == dims.end() ? 0 : std::max<int64_t>(it->second, 0);
}

Expected<Manifest> qrt::readManifest(const std::string &path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0)
    return makeError(6013, path, "cannot open the module: {}",
                     std::strerror(errno));
  if (!S_ISREG(info.st_mode))
    return makeError(6013, path, "the module is not a regular file");
  // Reading, not mapping: a file that shrinks meanwhile is an error, no signal.
  constexpr int64_t kMaxModuleBytes = int64_t(1) << 31;
  if (info.st_size > kMaxModuleBytes)
    return makeError(6013, path, "the module has {} bytes, more than {}",
                     info.st_size, kMaxModuleBytes);
  std::string bytes(info.st_size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.data(), info.st_size))
    return makeError(6013, path, "cannot read the module");
  constexpr int64_t kMaxManifestBytes = 64 << 20;
  QRT_ASSIGN_OR_RETURN(std::string_view section,
                       findElfSection(bytes, QRT_MANIFEST_SECTION, path));
  if (static_cast<int64_t>(section.size()) > kMaxManifestBytes)
    return makeError(6011, path, "damaged manifest: {} bytes", section.size());
  QRT_RETURN_IF_ERROR(checkElfSegments(bytes, path));
  return parseManifest(section, path);
}
