//===- Fiber.h - Cooperative threads of execution ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDASIM_FIBER_H
#define QWEN_RUNTIME_CUDASIM_FIBER_H

#include <cstdint>
#include <utility>

namespace qrt::cudasim {

/// A suspended flow of control: its stack pointer, everything else lies on the
/// stack.
struct Fiber {
  void *stackPointer = nullptr;
};

/// Suspends into `from` and continues `to`.
void switchFiber(Fiber &from, const Fiber &to);

/// A fiber that calls `entry(argument)` when it is first switched to; `entry`
/// must not return. `stackTop` is the end of its stack.
Fiber makeFiber(char *stackTop, void (*entry)(void *), void *argument);

/// Stacks of `count` fibers, each above an inaccessible page.
class FiberStacks {
public:
  /// Bytes of one stack, its guard page included. Kernels keep registers and
  /// small arrays there; pages that are not touched cost nothing.
  static constexpr int64_t kBytes = 64 << 10;

  FiberStacks() = default;
  FiberStacks(FiberStacks &&other) noexcept { *this = std::move(other); }
  FiberStacks &operator=(FiberStacks &&other) noexcept {
    std::swap(base, other.base);
    std::swap(size, other.size);
    return *this;
  }
  ~FiberStacks();

  /// Makes room for `newCount` fibers; false if there is no memory.
  bool reserve(int64_t newCount);
  char *top(int64_t index) const { return base + (index + 1) * kBytes; }

private:
  char *base = nullptr;
  int64_t size = 0;
};

} // namespace qrt::cudasim

#endif // QWEN_RUNTIME_CUDASIM_FIBER_H
