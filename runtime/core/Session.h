//===- Session.h - The memory of a module on one device ---------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A session owns everything that persists between calls of a module's entry
// points: parameter storages, gradients, moments, caches and the arena. Only
// what the named entries use is allocated.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_SESSION_H
#define QWEN_RUNTIME_CORE_SESSION_H

#include "runtime/core/Device.h"
#include "runtime/core/Module.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

class Session;

/// One entry point with its arguments bound. Persistent arguments are bound by
/// the session; inputs and outputs, in memory of the host, by the caller, who
/// keeps them alive. The pointers stay bound, so a call in a loop binds once.
class EntryCall {
public:
  const EntryInfo &info() const { return *entry; }

  /// Binds the input or output `name`; nothing happens if the entry has none of
  /// that name (inputs that an entry does not take are ignored). Null leaves
  /// out an optional input, which is how a call begins.
  void bindInput(std::string_view name, const void *data);
  void bindOutput(std::string_view name, void *data);
  /// Sets an extent; ignored if the entry has none of that name. Between 1 and
  /// its maximum (run() checks).
  void setExtent(std::string_view name, int64_t value);

  /// Calls the entry and waits for its outputs. Errors: Q6030 (an argument is
  /// not bound, an extent out of range), Q6031 (the entry failed), those of the
  /// device.
  Status run();

  /// As run(), but the outputs are written only when the device has been
  /// synchronised (Session::synchronize); inputs may change at once. Several
  /// calls may be started one after the other.
  Status start();

private:
  friend class Session;
  EntryCall() = default;

  Status check() const;

  Session *session = nullptr;
  const EntryInfo *entry = nullptr;
  int index = -1;
  /// What the entry gets: addresses of the device.
  std::vector<void *> slots;
  /// The caller's memory for each input and output, by slot.
  std::vector<void *> hostPointers;
  std::vector<int64_t> extents;
};

class Session {
public:
  /// Allocates what `entries` need on the device. An entry that the module
  /// lacks is an error (Q6032) that names those it has; when all of it together
  /// is more than the device has, nothing is allocated (Q6001).
  static Expected<std::unique_ptr<Session>>
  create(std::shared_ptr<const Module> module, Device &device,
         const std::vector<std::string> &entries);

  const Module &module() const { return *code; }
  const Manifest &manifest() const { return code->manifest(); }
  Device &device() { return *home; }

  /// Whether any of the session's entries uses this storage.
  bool hasStorage(std::string_view storage) const;
  /// The first element of a parameter's storage, all layers contiguous, in the
  /// device's memory (HostState.h has the ways to it); null if it is not
  /// allocated. Storages of one type are the same memory.
  void *parameter(int index, std::string_view storage) const;
  float *gradient(int index) const;
  /// `which` is 1 or 2.
  float *moment(int which, int index) const;
  /// The cache `name`, all layers; null if no entry has it.
  void *cache(std::string_view name) const;

  /// The same for any kind of state.
  void *state(const StateKind &kind, int parameter) const;
  /// How entries see it, from which its block of the logical matrix follows;
  /// null if it is not allocated.
  const ArgInfo *stateInfo(const StateKind &kind, int parameter) const;

  /// The memory of all arrays of one kind, for the kinds whose name begins with
  /// `prefix`: "parameter.master" (and so on by storage), "gradient",
  /// "moment1", "moment2", "cache".
  std::vector<std::pair<std::string, const DeviceBuffer *>>
  memory(std::string_view prefix) const;

  Status clearGradients();
  Status clearCaches();

  /// Waits for all calls that were started.
  Status synchronize() { return home->synchronize(); }

  /// A call of one of the session's entries.
  Expected<EntryCall> prepare(std::string_view entry);

  /// Fills the other storages from the masters (the entry convert_storage,
  /// where the module has one and some storage differs).
  Status convertStorages();

  /// Bytes allocated for state and arena.
  int64_t allocatedBytes() const;

private:
  friend class EntryCall;
  Session() = default;

  /// Arrays of one kind in one block of memory.
  struct Group {
    DeviceBuffer buffer;
    struct Item {
      int64_t offset = 0, bytes = 0;
      const ArgInfo *info = nullptr; ///< of the first entry that uses it
    };
    std::map<std::string, Item, std::less<>> items;
    void *find(std::string_view name) const {
      auto it = items.find(name);
      return it == items.end() ? nullptr : buffer.data() + it->second.offset;
    }
  };
  /// The block for an argument's state: storage, or role.
  static std::string groupOf(const ArgInfo &arg, const Manifest &manifest);
  void *stateOf(const ArgInfo &arg) const;
  Status fillMeshScalars();
  Status clear(std::string_view group);

  std::shared_ptr<const Module> code;
  Device *home = nullptr;
  std::vector<std::string> entryNames;
  std::map<std::string, Group, std::less<>> groups;
  DeviceBuffer arena;
  /// Inputs and outputs of an entry on a device with memory of its own: one
  /// place for each slot that has one, the same in every call.
  struct Staging {
    DeviceBuffer buffer;
    std::vector<int64_t> offsets; ///< by slot; -1: no input or output
  };
  std::map<int, Staging> staging; ///< by index of the entry
  /// The device's memory for an input or output; null if it needs none.
  void *stagedAt(int index, size_t slot);
};

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_SESSION_H
