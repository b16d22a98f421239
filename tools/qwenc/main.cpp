//===- main.cpp - qwenc: compiles a model file to model.so ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Exit code: 0 success, 1 an error of the user or of the input, 2 a wrong
// command line.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/CpuTarget.h"
#include "compiler/Codegen/Targets.h"
#include "compiler/Frontend/Node.h"
#include "compiler/Module/GpuImages.h"
#include "compiler/Pipeline/Pipeline.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/Timing.h"
#include "mlir/Transforms/Passes.h"
#include "tools/qwenc/Diagnostics.h"
#include "tools/qwenc/Driver.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

using namespace qwenc;

static constexpr int kUsageError = 2;

static int usageError(const UsageError &error) {
  std::string message = error.message;
  if (!error.word.empty())
    message += qwen::suggestNearest(error.word, error.candidates);
  printError(message, error.code);
  llvm::errs() << "run 'qwenc --help' for the options\n";
  return kUsageError;
}

/// MLIR's own options are parsed by MLIR.
static bool parseMlirFlags(const std::vector<std::string> &flags) {
  if (!flags.empty()) {
    // Passes have names in --mlir-print-ir-after=, which are
    // read when the option is registered.
    mlir::registerTransformsPasses();
    mlir::registerConversionPasses();
    qwen::registerQwenPasses();
  }
  mlir::registerAsmPrinterCLOptions();
  mlir::registerMLIRContextCLOptions();
  mlir::registerPassManagerCLOptions();
  mlir::registerDefaultTimingManagerCLOptions();
  std::vector<const char *> arguments{"qwenc"};
  for (const std::string &flag : flags)
    arguments.push_back(flag.c_str());
  std::string problem;
  llvm::raw_string_ostream stream(problem);
  if (llvm::cl::ParseCommandLineOptions(arguments.size(), arguments.data(), "",
                                        &stream))
    return true;
  llvm::StringRef message = llvm::StringRef(problem).trim();
  message.consume_front("qwenc: ");
  if (message.empty()) // said on stderr already
    message = "wrong use of an MLIR flag";
  usageError({7001, message.split('\n').first.trim().str(), "", {}});
  return false;
}

int main(int argc, char **argv) {
  KnownNames known;
  std::vector<Choice> &phases = known.phases;
  for (const qwen::PhaseInfo &info : qwen::allPhases())
    phases.push_back({info.name.str(), info.description.str()});
  for (llvm::StringRef name : qwen::cpu::cpuOptions())
    known.cpus.push_back(name.str());
  for (llvm::StringRef name : qwen::targetNames())
    known.targets.push_back(name.str());
  known.isGpuArch = [](const std::string &name) {
    return qwen::parseGpuArch(name).has_value();
  };
  ParseResult parsed =
      parseCommandLine(argc, argv, known, "qwenc " QWEN_VERSION);
  if (parsed.text) {
    llvm::outs() << *parsed.text;
    return 0;
  }
  if (parsed.error)
    return usageError(*parsed.error);
  if (!parseMlirFlags(parsed.options->mlirFlags))
    return kUsageError;
  if (parsed.options->listPhases) {
    for (const Choice &phase : phases)
      llvm::outs() << phase.name << std::string(10 - phase.name.size(), ' ')
                   << phase.description << '\n';
    return 0;
  }
  return runDriver(*parsed.options);
}
