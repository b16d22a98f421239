//===- Fiber.cpp - Cooperative threads of execution -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cudasim/Fiber.h"

#include <sys/mman.h>

using namespace qrt;
using namespace qrt::cudasim;

// The registers that a call preserves (System V ABI) go to the stack; the stack
// pointer is all that is left to exchange. ucontext would ask the kernel for
// the signal mask at every switch, which costs some thirty times as much.
asm(R"(
  .text
  .hidden qrt_cudasim_switch
  .globl qrt_cudasim_switch
  .type qrt_cudasim_switch, @function
qrt_cudasim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  retq
  .size qrt_cudasim_switch, .-qrt_cudasim_switch

  .hidden qrt_cudasim_begin
  .globl qrt_cudasim_begin
  .type qrt_cudasim_begin, @function
qrt_cudasim_begin:
  movq %r12, %rdi
  callq *%r13
  ud2
  .size qrt_cudasim_begin, .-qrt_cudasim_begin
)");

extern "C" void qrt_cudasim_switch(void **from, void *to);
extern "C" void qrt_cudasim_begin();

void cudasim::switchFiber(Fiber &from, const Fiber &to) {
  qrt_cudasim_switch(&from.stackPointer, to.stackPointer);
}

Fiber cudasim::makeFiber(char *stackTop, void (*entry)(void *),
                         void *argument) {
  // What qrt_cudasim_switch pops: r15, r14, r13, r12, rbx, rbp, the address.
  // Two words are left above, so that the stack is aligned where begin calls.
  auto **stack = reinterpret_cast<void **>(stackTop) - 9;
  stack[0] = stack[1] = stack[4] = stack[5] = nullptr;
  stack[2] = reinterpret_cast<void *>(entry);
  stack[3] = argument;
  stack[6] = reinterpret_cast<void *>(&qrt_cudasim_begin);
  stack[7] = stack[8] = nullptr;
  return {stack};
}

FiberStacks::~FiberStacks() {
  if (base)
    munmap(base, size);
}

bool FiberStacks::reserve(int64_t newCount) {
  if (newCount * kBytes <= size)
    return true;
  FiberStacks larger;
  void *memory = mmap(nullptr, newCount * kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return false;
  larger.base = static_cast<char *>(memory);
  larger.size = newCount * kBytes;
  for (int64_t i = 0; i < newCount; ++i)
    if (mprotect(larger.base + i * kBytes, 4096, PROT_NONE) != 0)
      return false;
  *this = std::move(larger);
  return true;
}
