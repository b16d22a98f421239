//===- CommandLine.h - Flags of qwenc ---------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The border to the file that is compiled with exceptions: standard types only.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TOOLS_QWENC_COMMANDLINE_H
#define QWEN_TOOLS_QWENC_COMMANDLINE_H

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qwenc {

/// A name that one may type, with what it means.
struct Choice {
  std::string name;
  std::string description;
};

/// Axes from outermost to innermost, each with its devices.
using Mesh = std::vector<std::pair<std::string, int64_t>>;

struct Options {
  std::string model;
  std::string output = "model.so";
  std::vector<std::string> targets;  // cpu if none is named
  std::vector<std::string> gpuArchs; // of cuda: sm_90a if none is named
  bool allowSlowKernels = false;     // of cuda: spills are warnings
  std::string cpu = "native";
  Mesh mesh; // empty: as the model file says
  bool train = true, infer = true;
  std::vector<std::string> overrides; // key=value
  bool plan = false, json = false;
  std::string compileTo, compileFrom; // phase names, or empty
  std::string dumpPhasesTo;
  bool listPhases = false;
  bool verbose = false;
  unsigned jobs = 0;                  // 0: all processors
  std::vector<std::string> mlirFlags; // --mlir-*
};

/// A wrong command line.
struct UsageError {
  int code; // Qnnnn
  std::string message;
  std::string word;                    // what nobody knows, or empty
  std::vector<std::string> candidates; // what it may have meant
};

/// What flags may name.
struct KnownNames {
  std::vector<Choice> phases;
  std::vector<std::string> targets, cpus;
  bool (*isGpuArch)(const std::string &name);
};

/// What parsing came to: options to run with, a text to print, or an error.
struct ParseResult {
  std::optional<Options> options;
  std::optional<std::string> text;
  std::optional<UsageError> error;
};

ParseResult parseCommandLine(int argc, char **argv, const KnownNames &known,
                             const std::string &version);

} // namespace qwenc

#endif // QWEN_TOOLS_QWENC_COMMANDLINE_H
