//===- SimModule.h - GPU kernels run on the host ----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_CODEGEN_SIMMODULE_H
#define QWEN_TEST_UNIT_CODEGEN_SIMMODULE_H

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

namespace qwen::testing {

/// GPU kernels (llvm.func with nvvm.kernel), compiled by nvvm-to-host into this
/// process and run by the simulator.
class SimModule {
public:
  /// Lowers `module` in place.
  static llvm::Expected<std::unique_ptr<SimModule>>
  create(mlir::ModuleOp module);
  /// Parses and lowers a text.
  static llvm::Expected<std::unique_ptr<SimModule>>
  create(const std::string &text);
  ~SimModule();

  struct Grid {
    std::array<uint32_t, 3> blocks;
    uint32_t threads;
    /// Dynamic shared memory.
    uint32_t sharedBytes = 0;
  };
  /// Runs a kernel on `hostThreads` threads; `params` are the addresses of its
  /// parameters. The fault in words, empty if there is none.
  std::string launch(const std::string &kernel, const Grid &grid,
                     const std::vector<void *> &params, int hostThreads = 1);

private:
  SimModule();
  struct State;
  std::unique_ptr<State> state;
};

} // namespace qwen::testing

#endif // QWEN_TEST_UNIT_CODEGEN_SIMMODULE_H
