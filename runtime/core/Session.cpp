//===- Session.cpp - The memory of a module on one device -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Session.h"
#include "runtime/core/Progress.h"
#include "runtime/core/Suggest.h"

#include <algorithm>
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

/// Lays out the inputs and outputs of an entry at their largest; returns the
/// bytes of all.
int64_t planStaging(const EntryInfo &entry, std::vector<int64_t> &offsets) {
  offsets.assign(entry.slots, -1);
  int64_t total = 0;
  for (const ArgInfo &arg : entry.args) {
    if (isState(arg.role))
      continue;
    offsets[arg.slot] = total;
    int64_t bytes = entry.elements(arg) * bytesOf(arg.dtype);
    total = std::min(alignUp(total + bytes, 256), kMaxBytes);
  }
  return total;
}

/// Refuses what a device with memory of its own cannot hold.
Status checkFits(Device &device,
                 const std::vector<std::pair<std::string, int64_t>> &sizes,
                 const std::string &where) {
  QRT_ASSIGN_OR_RETURN(std::optional<int64_t> available,
                       device.availableBytes());
  if (!available)
    return Status::success();
  int64_t total = 0;
  std::vector<std::string> parts;
  for (const auto &[name, bytes] : sizes) {
    total += bytes;
    if (bytes > 0)
      parts.push_back(fmt::format("{} {}", name, formatBytes(double(bytes))));
  }
  if (total <= *available)
    return Status::success();
  return makeError(6001, where,
                   "out of memory: the module needs {} on {}, of which {} are "
                   "free ({}); compile it with a smaller train.batch, "
                   "infer.context or memory.budget, or choose another device",
                   formatBytes(double(total)), device.name(),
                   formatBytes(double(*available)), fmt::join(parts, ", "));
}

} // namespace

/// The key of an argument's memory in its group.
static std::string itemOf(const ArgInfo &arg) {
  if (arg.role != ArgRole::Mesh)
    return arg.name;
  return fmt::format("{} * {}", arg.meshScale, fmt::join(arg.meshAxes, ","));
}

std::string Session::groupOf(const ArgInfo &arg, const Manifest &manifest) {
  if (arg.role == ArgRole::GradientSum &&
      manifest.parameters[arg.parameter].sumIsGradient)
    return std::string(nameOf(ArgRole::Gradient));
  if (arg.role != ArgRole::Parameter)
    return std::string(nameOf(arg.role));
  // Where compute storages are the masters, both names mean one memory.
  bool same = arg.storage == "compute" &&
              manifest.parameters[arg.parameter].computeIsMaster;
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
    std::map<std::string, Group::Item, std::less<>> items;
    int64_t total = 0;
  };
  std::map<std::string, Plan> plans;
  int64_t arenaBytes = 0;
  for (const std::string &name : entries) {
    int index = manifest.findEntry(name);
    if (index < 0)
      return unknownEntry(*session->code, name);
    const EntryInfo &entry = manifest.entries[index];
    arenaBytes = std::max(arenaBytes, session->code->arenaBytes(index));
    for (const ArgInfo &arg : entry.args) {
      if (!isState(arg.role))
        continue;
      int64_t bytes = entry.elements(arg) * arg.count * bytesOf(arg.dtype);
      Plan &plan = plans[groupOf(arg, manifest)];
      auto [it, isNew] = plan.items.try_emplace(itemOf(arg));
      Group::Item &item = it->second;
      if (!isNew &&
          (item.bytes != bytes || item.info->isSharded() != arg.isSharded() ||
           (arg.isSharded() && item.info->sharding != arg.sharding)))
        return makeError(6016, session->code->path(),
                         "damaged module: entry points disagree about the size "
                         "of {} '{}'",
                         nameOf(arg.role), arg.name);
      if (isNew && plan.total <= kMaxBytes) {
        item = {plan.total, bytes, &arg};
        plan.total = alignUp(plan.total + bytes, 64);
      }
    }
  }
  std::vector<std::pair<std::string, int64_t>> sizes;
  for (auto &[name, plan] : plans) {
    if (plan.total > kMaxBytes)
      return makeError(6001, session->code->path(),
                       "out of memory: {} needs more than {} bytes", name,
                       kMaxBytes);
    sizes.emplace_back(name, plan.total);
  }
  sizes.emplace_back("arena", arenaBytes);
  std::map<int, int64_t> stagingBytes;
  if (!device.sharesHostMemory())
    for (const std::string &name : entries) {
      int index = manifest.findEntry(name);
      auto [it, isNew] = session->staging.try_emplace(index);
      if (!isNew)
        continue;
      stagingBytes[index] =
          planStaging(manifest.entries[index], it->second.offsets);
      sizes.emplace_back("inputs and outputs of " + name, stagingBytes[index]);
    }
  QRT_RETURN_IF_ERROR(checkFits(device, sizes, session->code->path()));
  for (auto &[name, plan] : plans) {
    Group &group = session->groups[name];
    QRT_ASSIGN_OR_RETURN(group.buffer, device.allocate(plan.total, name));
    group.items = std::move(plan.items);
  }
  QRT_ASSIGN_OR_RETURN(session->arena,
                       device.allocate(arenaBytes, "the arena"));
  for (auto &[index, item] : session->staging) {
    QRT_ASSIGN_OR_RETURN(item.buffer, device.allocate(stagingBytes[index],
                                                      "inputs and outputs"));
  }
  QRT_RETURN_IF_ERROR(session->fillMeshScalars());
  QRT_RETURN_IF_ERROR(device.load(*session->code));
  return session;
}

Status Session::fillMeshScalars() {
  auto group = groups.find(nameOf(ArgRole::Mesh));
  if (group == groups.end())
    return Status::success();
  for (const auto &[name, item] : group->second.items) {
    auto value = static_cast<int32_t>(
        item.info->meshScale *
        home->mesh().indexOn(home->rank(), item.info->meshAxes));
    QRT_RETURN_IF_ERROR(home->upload(group->second.find(name), &value, 4));
  }
  return Status::success();
}

bool Session::hasStorage(std::string_view storage) const {
  return groups.find("parameter." + std::string(storage)) != groups.end();
}

const ArgInfo *Session::stateInfo(const StateKind &kind, int index) const {
  const ParameterInfo &info = manifest().parameters[index];
  ArgInfo arg;
  arg.role = kind.role;
  arg.storage = kind.storage;
  arg.parameter = index;
  auto group = groups.find(groupOf(arg, manifest()));
  if (group == groups.end() ||
      (kind.role == ArgRole::Parameter && !info.storages.count(kind.storage)))
    return nullptr;
  auto item = group->second.items.find(info.name);
  if (item == group->second.items.end())
    return nullptr;
  if (kind.role != ArgRole::GradientSum)
    return item->second.info;
  // The summands' memory, where it is shared, is described as theirs.
  for (const std::string &name : entryNames)
    if (const ArgInfo *sum =
            manifest().entries[manifest().findEntry(name)].findArg(kind.role,
                                                                   info.name))
      return sum;
  return nullptr;
}

void *Session::state(const StateKind &kind, int index) const {
  const ArgInfo *info = stateInfo(kind, index);
  return info ? stateOf(*info) : nullptr;
}

void *Session::parameter(int index, std::string_view storage) const {
  return state({ArgRole::Parameter, std::string(storage)}, index);
}

float *Session::gradient(int index) const {
  return static_cast<float *>(state({ArgRole::Gradient, ""}, index));
}

float *Session::moment(int which, int index) const {
  return static_cast<float *>(
      state({which == 1 ? ArgRole::Moment1 : ArgRole::Moment2, ""}, index));
}

void *Session::cache(std::string_view name) const {
  auto it = groups.find("cache");
  return it == groups.end() ? nullptr : it->second.find(name);
}

Status Session::clear(std::string_view group) {
  auto it = groups.find(group);
  if (it == groups.end())
    return Status::success();
  return home->zero(it->second.buffer.data(), it->second.buffer.size());
}

Status Session::clearGradients() { return clear("gradient"); }

Status Session::clearCaches() { return clear("cache"); }

std::vector<std::pair<std::string, const DeviceBuffer *>>
Session::memory(std::string_view prefix) const {
  std::vector<std::pair<std::string, const DeviceBuffer *>> result;
  for (const auto &[name, group] : groups)
    if (std::string_view(name).substr(0, prefix.size()) == prefix)
      result.emplace_back(name, &group.buffer);
  return result;
}

void *Session::stateOf(const ArgInfo &arg) const {
  auto it = groups.find(groupOf(arg, manifest()));
  return it == groups.end() ? nullptr : it->second.find(itemOf(arg));
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
  call.index = index;
  call.slots.assign(call.entry->slots, nullptr);
  call.hostPointers.assign(call.entry->slots, nullptr);
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
  for (size_t slot = 0; slot < call.slots.size(); ++slot)
    if (void *place = stagedAt(index, slot))
      call.slots[slot] = place;
  return call;
}

void *Session::stagedAt(int index, size_t slot) {
  auto it = staging.find(index);
  if (it == staging.end() || it->second.offsets[slot] < 0)
    return nullptr;
  return it->second.buffer.data() + it->second.offsets[slot];
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
  for (const auto &[entry, item] : staging)
    total += item.buffer.size();
  return total;
}

void EntryCall::bindInput(std::string_view name, const void *data) {
  if (const ArgInfo *arg = entry->findArg(ArgRole::Input, name))
    hostPointers[arg->slot] = const_cast<void *>(data);
}

void EntryCall::bindOutput(std::string_view name, void *data) {
  if (const ArgInfo *arg = entry->findArg(ArgRole::Output, name))
    hostPointers[arg->slot] = data;
}

void EntryCall::setExtent(std::string_view name, int64_t value) {
  if (int extent = entry->findExtent(name); extent >= 0)
    extents[extent] = value;
}

Status EntryCall::check() const {
  for (size_t i = 0; i < extents.size(); ++i)
    QRT_RETURN_IF_ERROR(entry->extents[i].check(entry->name, extents[i]));
  for (const ArgInfo &arg : entry->args) {
    const std::vector<void *> &bound = isState(arg.role) ? slots : hostPointers;
    for (int64_t i = 0; i < arg.count; ++i)
      if (!bound[arg.slot + i] && !arg.optional)
        return makeError(6030, "", "entry point '{}' needs the {} '{}'",
                         entry->name, nameOf(arg.role), arg.name);
  }
  return Status::success();
}

Status EntryCall::start() {
  QRT_RETURN_IF_ERROR(check());
  Device &device = *session->home;
  bool shared = device.sharesHostMemory();
  auto bytesAt = [this](const ArgInfo &arg) {
    return entry->elements(arg, extents.data()) * bytesOf(arg.dtype);
  };
  for (const ArgInfo &arg : entry->args) {
    if (isState(arg.role))
      continue;
    if (shared)
      slots[arg.slot] = hostPointers[arg.slot];
    else if (arg.role == ArgRole::Input) {
      const void *given = hostPointers[arg.slot];
      if (arg.optional) // null where it is left out
        slots[arg.slot] = given ? session->stagedAt(index, arg.slot) : nullptr;
      if (given)
        QRT_RETURN_IF_ERROR(
            device.upload(slots[arg.slot], given, bytesAt(arg)));
    }
  }
  qrt_call call{slots.data(), extents.data(), session->arena.data()};
  QRT_RETURN_IF_ERROR(device.call(*session->code, index, call));
  if (!shared)
    for (const ArgInfo &arg : entry->args)
      if (arg.role == ArgRole::Output)
        QRT_RETURN_IF_ERROR(device.download(hostPointers[arg.slot],
                                            slots[arg.slot], bytesAt(arg)));
  return Status::success();
}

Status EntryCall::run() {
  QRT_RETURN_IF_ERROR(start());
  return session->synchronize();
}
