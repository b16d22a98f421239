//===- Command.cpp - Subcommands of qwen-rt -------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/qwen-rt/Command.h"
#include "runtime/mesh/DeviceGroup.h"
#include "tools/qwen-rt/Devices.h"

#include <fmt/ranges.h>

using namespace qrt;

CLI::App *qrt::addCommand(CLI::App &parent, CommonOptions &common,
                          const std::string &name,
                          const std::string &description,
                          const std::string &examples) {
  CLI::App *command = parent.add_subcommand(name, description);
  command->set_help_flag("--help,-h", "print this text and exit");
  if (!examples.empty())
    command->footer("Examples:\n" + examples);
  return command;
}

void qrt::addDeviceOptions(CLI::App &command, CommonOptions &common) {
  command
      .add_option("--threads,-t", common.threads,
                  "threads of all devices together (default: all processors)")
      ->check(CLI::Range(1, 4096));
  std::vector<std::string> kinds = deviceKindNames();
  command
      .add_option_function<std::string>(
          "--device",
          [&common, kinds](const std::string &text) {
            auto spec = parseDeviceSpec(text, kinds);
            if (!spec)
              throw CLI::ValidationError("--device", spec.error().message);
            common.device = *spec;
          },
          fmt::format("where the module runs: {} (default: cpu)",
                      fmt::join(kinds, ", ")))
      ->type_name("DEVICE");
  const std::vector<std::string> &backends = commBackends();
  command
      .add_option("--comm", common.comm,
                  fmt::format("how the devices of a mesh talk: {} (default: "
                              "auto: nccl between GPUs, else mpi or tcp "
                              "between processes that a launcher has started, "
                              "else threads)",
                              fmt::join(backends, ", ")))
      ->check(CLI::IsMember(backends))
      ->type_name("BACKEND");
  command.add_option("--rank", common.ranks.rank,
                     "rank of this process (default: the launcher's)");
  command.add_option("--ranks", common.ranks.ranks,
                     "number of processes (default: the launcher's)");
  command
      .add_option("--rendezvous", common.ranks.rendezvous,
                  "where rank 0 waits for the others (default: the "
                  "launcher's); then no MPI is needed")
      ->type_name("HOST:PORT");
  command
      .add_option("--start-timeout", common.startTimeout,
                  "seconds until all ranks have started (300)")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--step-timeout", common.stepTimeout,
                  "seconds that a rank waits for another one (1800)")
      ->check(CLI::PositiveNumber);
  command.add_flag("--comm-debug", common.commDebug,
                   "compare every collective over all ranks before it runs");
}

void qrt::addJsonOption(CLI::App &command, CommonOptions &common) {
  command.add_flag("--json", common.json, "print one JSON document on stdout");
}

void qrt::onRun(CLI::App &command, CommonOptions &common,
                CommandRunner runner) {
  command.callback(
      [&common, runner = std::move(runner)] { common.run = runner; });
}
