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

#include "runtime/core/Buffer.h"
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
/// the session; inputs and outputs by the caller, who keeps them alive. The
/// pointers stay bound, so a call in a loop binds once.
class EntryCall {
public:
  const EntryInfo &info() const { return *entry; }

  /// Binds the input or output `name`; nothing happens if the entry has none of
  /// that name (inputs that an entry does not take are ignored).
  void bindInput(std::string_view name, const void *data);
  void bindOutput(std::string_view name, void *data);
  /// Sets an extent; ignored if the entry has none of that name. Between 1 and
  /// its maximum (run() checks).
  void setExtent(std::string_view name, int64_t value);

  /// Calls the entry. Errors: Q6030 (an argument is not bound, an extent out of
  /// range), Q6031 (the entry failed).
  Status run();

private:
  friend class Session;
  EntryCall() = default;

  Session *session = nullptr;
  const EntryInfo *entry = nullptr;
  qrt_entry code = nullptr;
  std::vector<void *> slots;
  std::vector<int64_t> extents;
};

class Session {
public:
  /// Allocates what `entries` need. An entry that the module lacks is an error
  /// (Q6032) that names those it has.
  static Expected<std::unique_ptr<Session>>
  create(std::shared_ptr<const Module> module, Device &device,
         const std::vector<std::string> &entries);

  const Module &module() const { return *code; }
  const Manifest &manifest() const { return code->manifest(); }
  Device &device() { return *home; }

  /// Whether any of the session's entries uses this storage.
  bool hasStorage(std::string_view storage) const;
  /// The first element of a parameter's storage, all layers contiguous; null if
  /// it is not allocated. Storages of one type are the same memory.
  void *parameter(int index, std::string_view storage) const;
  float *gradient(int index) const;
  /// `which` is 1 or 2.
  float *moment(int which, int index) const;
  /// The cache `name`, all layers; null if no entry has it.
  void *cache(std::string_view name) const;

  void clearGradients();
  void clearCaches();

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
    Buffer buffer;
    std::map<std::string, int64_t, std::less<>> offsets;
    void *find(std::string_view name) const {
      auto it = offsets.find(name);
      return it == offsets.end() ? nullptr : buffer.data() + it->second;
    }
  };
  /// The block for an argument's state: storage, or role.
  static std::string groupOf(const ArgInfo &arg, const Manifest &manifest);
  void *stateOf(const ArgInfo &arg) const;

  std::shared_ptr<const Module> code;
  Device *home = nullptr;
  std::vector<std::string> entryNames;
  std::map<std::string, Group, std::less<>> groups;
  Buffer arena;
};

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_SESSION_H
