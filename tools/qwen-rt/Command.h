//===- Command.h - Subcommands of qwen-rt -----------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every subcommand is one file XCommand.cpp with one function addXCommand,
// named once in the table of main.cpp. It declares its options on a CLI11
// subcommand and hands over what to run:
//
//   void qrt::addEvalCommand(CLI::App &app, CommonOptions &common) {
//     auto options = std::make_shared<EvalOptions>();
//     CLI::App *command = addCommand(app, common, "eval", "loss of a model",
//                                    "  qwen-rt eval --data val.bin\n");
//     command->add_option("--data", options->data, "token file")->required();
//     onRun(*command, common,
//           [options, &common] { return runEval(*options, common); });
//   }
//
// The function returns the exit status, or an Error, which main prints (exit
// 1).
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TOOLS_QWEN_RT_COMMAND_H
#define QWEN_TOOLS_QWEN_RT_COMMAND_H

#include "runtime/core/Device.h"
#include "runtime/core/Error.h"

#include "runtime/comm/Ranks.h"

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

namespace qrt {

/// What a subcommand does: the exit status (0, 130, 143), or an Error (1).
using CommandRunner = std::function<Expected<int>()>;

/// Options that all subcommands share, and the one that was chosen.
struct CommonOptions {
  int threads = 0;           ///< 0: all processors this process may use
  DeviceSpec device;         ///< where modules run
  bool json = false;         ///< one JSON document on stdout
  std::string comm = "auto"; ///< backend of collectives
  RankFlags ranks;           ///< of this process
  double startTimeout = 300; ///< seconds until all ranks are there
  double stepTimeout = 1800; ///< seconds a rank waits for another one
  bool commDebug = false;    ///< compare collectives over all ranks
  CommandRunner run;         ///< set by the chosen subcommand
};

/// Adds subcommand `name` under `parent` (the app, or another subcommand) with
/// `--help` and the given examples at its end (two spaces of indentation, lines
/// ended by '\n').
CLI::App *addCommand(CLI::App &parent, CommonOptions &common,
                     const std::string &name, const std::string &description,
                     const std::string &examples);

/// Adds --threads,-t, --device and what is about ranks: for commands that run a
/// module.
void addDeviceOptions(CLI::App &command, CommonOptions &common);

/// Adds --json.
void addJsonOption(CLI::App &command, CommonOptions &common);

/// `runner` runs after the whole command line was read, if `command` is chosen.
void onRun(CLI::App &command, CommonOptions &common, CommandRunner runner);

void addRunCommand(CLI::App &app, CommonOptions &common);
void addTrainCommand(CLI::App &app, CommonOptions &common);
void addGenerateCommand(CLI::App &app, CommonOptions &common);
void addEvalCommand(CLI::App &app, CommonOptions &common);
void addBenchCommand(CLI::App &app, CommonOptions &common);
void addInspectCommand(CLI::App &app, CommonOptions &common);
void addTokenizerCommand(CLI::App &app, CommonOptions &common);
void addDataCommand(CLI::App &app, CommonOptions &common);
void addPlotCommand(CLI::App &app, CommonOptions &common);
void addCompareCommand(CLI::App &app, CommonOptions &common);

} // namespace qrt

#endif // QWEN_TOOLS_QWEN_RT_COMMAND_H
