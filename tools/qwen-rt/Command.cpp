//===- Command.cpp - Subcommands of qwen-rt -------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/qwen-rt/Command.h"
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
}

void qrt::addJsonOption(CLI::App &command, CommonOptions &common) {
  command.add_flag("--json", common.json, "print one JSON document on stdout");
}

void qrt::onRun(CLI::App &command, CommonOptions &common,
                CommandRunner runner) {
  command.callback(
      [&common, runner = std::move(runner)] { common.run = runner; });
}
