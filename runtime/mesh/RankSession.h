//===- RankSession.h - One rank's part of a session -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_MESH_RANKSESSION_H
#define QWEN_RUNTIME_MESH_RANKSESSION_H

#include "runtime/core/Session.h"
#include "runtime/mesh/Block.h"
#include "runtime/weights/Parameters.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qrt {

/// A call of an entry with logical tensors, by the index of the argument. Null:
/// not bound; an output that is not bound here goes to memory of the rank.
struct CallRequest {
  int entry = -1;
  std::vector<int64_t> extents; ///< logical
  std::vector<const void *> inputs;
  std::vector<void *> outputs; ///< only for blocks that are whole
};

/// A kind of state in tensors whose names begin with `prefix`.
struct StateSet {
  std::string prefix;
  StateKind kind;
};

/// A session on the device of one rank, which it fills and feeds with that
/// rank's blocks. Called from the device's main thread.
class RankSession {
public:
  static Expected<std::unique_ptr<RankSession>>
  create(std::shared_ptr<const Module> module, Device &device,
         const std::vector<std::string> &entries);

  Session &session() { return *local; }

  /// Starts a call; outputs are there after Session::synchronize.
  Status start(const CallRequest &request);
  /// The block of an output that the last call of the entry has written.
  const void *outputBlock(int entry, int arg) const;
  TensorBlock blockOf(int entry, int arg,
                      const std::vector<int64_t> &extents) const;

  /// Reads this rank's blocks, and no others. Errors: as loadParameters, Q6018.
  Status load(const WeightSource &source, const std::vector<StateSet> &sets);
  /// Copies this rank's block of one layer of an f32 state to the host.
  Status readState(const StateKind &kind, int parameter, int64_t layer,
                   float *to);
  MatrixBlock stateBlock(const StateKind &kind, int parameter) const;

private:
  RankSession() = default;
  /// Where one layer of a state lies on the device; null if it does not.
  char *layerOf(const StateKind &kind, int parameter, int64_t layer) const;

  struct Call {
    explicit Call(EntryCall call) : call(std::move(call)) {}
    EntryCall call;
    std::vector<std::vector<char>> buffers; ///< by argument
    std::vector<const void *> outputs;
  };
  std::unique_ptr<Session> local;
  std::map<int, Call> calls; ///< by entry
};

} // namespace qrt

#endif // QWEN_RUNTIME_MESH_RANKSESSION_H
