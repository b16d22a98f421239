//===- qwen-opt.cpp - mlir-opt with our dialects and passes ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline/Pipeline.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  qwen::registerQwenDialects(registry);
  mlir::registerAllPasses();
  qwen::registerQwenPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(
      argc, argv, "mlir-opt of the Qwen compiler\n", registry));
}
