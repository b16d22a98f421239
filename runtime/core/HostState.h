//===- HostState.h - A session's state as the host sees it ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// State lies in the memory of a device. Where that is the host's, these classes
// hand out its addresses and copy nothing.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_HOSTSTATE_H
#define QWEN_RUNTIME_CORE_HOSTSTATE_H

#include "runtime/core/Session.h"

#include <deque>
#include <string_view>
#include <vector>

namespace qrt {

/// Fills all arrays of some kinds: those whose name (Session::memory) begins
/// with a prefix. What is not written becomes zero.
class StateWriter {
public:
  /// Errors: Q6001.
  static Expected<StateWriter> create(Session &session,
                                      std::string_view prefix);

  /// Where the host writes what shall lie at `address` of the device; null for
  /// null and for what this writer does not fill.
  template <typename T> T *hostAddress(T *address) const {
    auto *at = reinterpret_cast<char *>(address);
    for (const Range &range : ranges)
      if (at >= range.target && at < range.target + range.bytes)
        return reinterpret_cast<T *>(range.base + (at - range.target));
    return nullptr;
  }

  /// Brings what was written to the device.
  Status finish();

private:
  struct Range {
    char *base, *target;
    int64_t bytes;
  };
  Device *device = nullptr;
  std::vector<Range> ranges;
  std::vector<Buffer> copies; ///< none where the device shares host memory
};

/// Reads state one matrix after the other.
class StateReader {
public:
  explicit StateReader(Session &session) : device(session.device()) {}

  /// The `count` values at `address` of the device. They stay valid until the
  /// third call after this one; what is asked for again meanwhile is not read
  /// again.
  Expected<const float *> read(const float *address, int64_t count);

private:
  struct Copy {
    const float *address;
    std::vector<float> values;
  };
  Device &device;
  std::deque<Copy> copies;
};

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_HOSTSTATE_H
