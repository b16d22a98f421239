//===- Session.cpp - The memory of a module on one device -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Session.h"
#include "runtime/core/Suggest.h"

#include <algorithm>
#include <cstring>
#include <fmt/ranges.h>

using namespace qrt;

namespace {

/// More than any machine has; keeps sums of sizes from overflowing.
constexpr int64_t kMaxBytes = int64_t(1) << 48;

bool isState(ArgRole role) {
  return role != ArgRole::Input && role != ArgRole::Output;
}

std::vector<std::string> entryNamesOf(const Manifest &manifest) {
  std::vector<std::string> names;
  for (const EntryInfo &entry : manifest.entries)
    names.push_back(entry.name);
  return names;
}

Error unknownEntry(const Module &module, std::string_view name) {
  auto names = entryNamesOf(module.manifest());
  return makeError(6032, module.path(),
                   "the module has no entry point '{}' (it has {}){}", name,
                   fmt::join(names, ", "), didYouMean(name, names));
}

} // namespace

std::string Session::groupOf(const ArgInfo &arg, const Manifest &manifest) {
  if (arg.role != ArgRole::Parameter)
    return std::string(nameOf(arg.role));
  // Where the compute type is the master's, both names mean one memory.
  const ParameterInfo &parameter = manifest.parameters[arg.parameter];
  auto master = parameter.storages.find("master");
  bool same = arg.storage == "compute" && master != parameter.storages.end() &&
              master->second == arg.dtype;
  return "parameter." + (same ? std::string("master") : arg.storage);
}

Expected<std::unique_ptr<Session>>
Session::create(std::shared_ptr<const Module> module, Device &device,
                const std::vector<std::string> &entries) {
  std::unique_ptr<Session> session(new Session);
  session->code = std::move(module);
  session->home = &device;
  session->entryNames = entries;
  const Manifest &manifest = session->code->manifest();

  struct Plan {
    std::map<std::string, int64_t, std::less<>> offsets;
    std::map<std::string, int64_t, std::less<>> bytes;
    int64_t total = 0;
  };
  std::map<std::string, Plan> plans;
  int64_t arenaBytes = 0;
  for (const std::string &name : entries) {
    int index = manifest.findEntry(name);
    if (index < 0)
      return unknownEntry(*session->code, name);
    const EntryInfo &entry = manifest.entries[index];
    arenaBytes = std::max(arenaBytes, entry.arenaBytes);
    for (const ArgInfo &arg : entry.args) {
      if (!isState(arg.role))
        continue;
      int64_t bytes = entry.elements(arg) * arg.count * bytesOf(arg.dtype);
      Plan &plan = plans[groupOf(arg, manifest)];
      auto [it, isNew] = plan.bytes.emplace(arg.name, bytes);
      if (!isNew && it->second != bytes)
        return makeError(6016, session->code->path(),
                         "damaged module: entry points disagree about the size "
                         "of {} '{}'",
                         nameOf(arg.role), arg.name);
      if (isNew && plan.total <= kMaxBytes) {
        plan.offsets[arg.name] = plan.total;
        plan.total = alignUp(plan.total + bytes, 64);
      }
    }
  }
  for (auto &[name, plan] : plans) {
    if (plan.total > kMaxBytes)
      return makeError(6001, session->code->path(),
                       "out of memory: {} needs more than {} bytes", name,
                       kMaxBytes);
    Group &group = session->groups[name];
    QRT_ASSIGN_OR_RETURN(group.buffer, Buffer::allocate(plan.total, name));
    group.offsets = std::move(plan.offsets);
  }
  QRT_ASSIGN_OR_RETURN(session->arena,
                       Buffer::allocate(arenaBytes, "the arena"));
  QRT_RETURN_IF_ERROR(
      device.reserveScratch(session->code->target().workerScratchBytes));
  return session;
}

bool Session::hasStorage(std::string_view storage) const {
  return groups.find("parameter." + std::string(storage)) != groups.end();
}

void *Session::parameter(int index, std::string_view storage) const {
  const ParameterInfo &info = manifest().parameters[index];
  auto type = info.storages.find(std::string(storage));
  if (type == info.storages.end())
    return nullptr;
  ArgInfo arg;
  arg.role = ArgRole::Parameter;
  arg.storage = storage;
  arg.dtype = type->second;
  arg.parameter = index;
  auto it = groups.find(groupOf(arg, manifest()));
  return it == groups.end() ? nullptr : it->second.find(info.name);
}

float *Session::gradient(int index) const {
  auto it = groups.find("gradient");
  return it == groups.end() ? nullptr
                            : static_cast<float *>(it->second.find(
                                  manifest().parameters[index].name));
}

float *Session::moment(int which, int index) const {
  auto it = groups.find(which == 1 ? "moment1" : "moment2");
  return it == groups.end() ? nullptr
                            : static_cast<float *>(it->second.find(
                                  manifest().parameters[index].name));
}

void *Session::cache(std::string_view name) const {
  auto it = groups.find("cache");
  return it == groups.end() ? nullptr : it->second.find(name);
}

void Session::clearGradients() {
  if (auto it = groups.find("gradient"); it != groups.end())
    std::memset(it->second.buffer.data(), 0, it->second.buffer.size());
}

void Session::clearCaches() {
  if (auto it = groups.find("cache"); it != groups.end())
    std::memset(it->second.buffer.data(), 0, it->second.buffer.size());
}

void *Session::stateOf(const ArgInfo &arg) const {
  auto it = groups.find(groupOf(arg, manifest()));
  return it == groups.end() ? nullptr : it->second.find(arg.name);
}

Expected<EntryCall> Session::prepare(std::string_view name) {
  int index = manifest().findEntry(name);
  if (index < 0)
    return unknownEntry(*code, name);
  if (std::find(entryNames.begin(), entryNames.end(), name) == entryNames.end())
    return makeError(6032, code->path(),
                     "entry point '{}' has no memory in this session", name);
  EntryCall call;
  call.session = this;
  call.entry = &manifest().entries[index];
  call.code = code->entry(index);
  call.slots.assign(call.entry->slots, nullptr);
  for (const ExtentInfo &extent : call.entry->extents)
    call.extents.push_back(extent.max);
  for (const ArgInfo &arg : call.entry->args) {
    if (!isState(arg.role))
      continue;
    auto *base = static_cast<char *>(stateOf(arg));
    int64_t stride = call.entry->elements(arg) * bytesOf(arg.dtype);
    for (int64_t i = 0; i < arg.count; ++i)
      call.slots[arg.slot + i] = base + i * stride;
  }
  return call;
}

Status Session::convertStorages() {
  bool differs = std::any_of(groups.begin(), groups.end(), [](auto &item) {
    return item.first.rfind("parameter.", 0) == 0 &&
           item.first != "parameter.master";
  });
  if (!differs || !hasStorage("master") ||
      manifest().findEntry("convert_storage") < 0)
    return Status::success();
  QRT_ASSIGN_OR_RETURN(EntryCall call, prepare("convert_storage"));
  return call.run();
}

int64_t Session::allocatedBytes() const {
  int64_t total = arena.size();
  for (const auto &[name, group] : groups)
    total += group.buffer.size();
  return total;
}

void EntryCall::bindInput(std::string_view name, const void *data) {
  if (const ArgInfo *arg = entry->findArg(ArgRole::Input, name))
    slots[arg->slot] = const_cast<void *>(data);
}

void EntryCall::bindOutput(std::string_view name, void *data) {
  if (const ArgInfo *arg = entry->findArg(ArgRole::Output, name))
    slots[arg->slot] = data;
}

void EntryCall::setExtent(std::string_view name, int64_t value) {
  if (int index = entry->findExtent(name); index >= 0)
    extents[index] = value;
}

Status EntryCall::run() {
  for (size_t i = 0; i < extents.size(); ++i)
    if (extents[i] < 1 || extents[i] > entry->extents[i].max)
      return makeError(6030, "",
                       "entry point '{}': {} is {}, the module is compiled for "
                       "1 to {}",
                       entry->name, entry->extents[i].name, extents[i],
                       entry->extents[i].max);
  for (const ArgInfo &arg : entry->args)
    for (int64_t i = 0; i < arg.count; ++i)
      if (!slots[arg.slot + i])
        return makeError(6030, "", "entry point '{}' needs the {} '{}'",
                         entry->name, nameOf(arg.role), arg.name);
  qrt_call call{slots.data(), extents.data(), session->arena.data()};
  int32_t code = this->code(session->home->context(), &call);
  if (code != QRT_E_OK)
    return makeError(6031, "", "entry point '{}' failed with code {}{}",
                     entry->name, code,
                     code == QRT_E_COLLECTIVE ? " (a collective failed)" : "");
  return Status::success();
}
