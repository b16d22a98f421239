//===- main.cpp - qwen-rt: runs what qwenc has compiled -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reads the command line, runs the chosen subcommand and turns its result into
// the exit status: 0 success, 1 user or input error, 2 usage error, 130 and 143
// after SIGINT and SIGTERM.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Signals.h"
#include "runtime/core/Suggest.h"
#include "runtime/mesh/DeviceGroup.h"
#include "tools/qwen-rt/Command.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <thread>
#include <vector>

using namespace qrt;

namespace {

constexpr const char *kVersion = "qwen-rt 0.1.0";
constexpr int kUsageError = 2;

/// The one list of subcommands.
using AddCommand = void (*)(CLI::App &, CommonOptions &);
constexpr AddCommand kCommands[] = {
    addTrainCommand, addGenerateCommand, addEvalCommand, addRunCommand,
    addBenchCommand, addInspectCommand,  addDataCommand, addTokenizerCommand,
    addPlotCommand,  addCompareCommand,
};

/// The innermost subcommand that was named on the command line.
CLI::App *innermost(CLI::App *app) {
  for (;;) {
    auto chosen = app->get_subcommands();
    if (chosen.empty())
      return app;
    app = chosen.back();
  }
}

/// One line for a word nobody took, naming the nearest one that exists.
std::string describeExtra(CLI::App &command, const std::string &word) {
  std::vector<std::string> names;
  bool isFlag = word.size() > 1 && word[0] == '-';
  std::string key = word.substr(0, word.find('='));
  if (isFlag) {
    for (const CLI::Option *option : command.get_options()) {
      for (const std::string &name : option->get_lnames())
        names.push_back("--" + name);
      for (const std::string &name : option->get_snames())
        names.push_back("-" + name);
    }
  } else {
    for (const CLI::App *sub : command.get_subcommands({}))
      names.push_back(sub->get_name());
  }
  const char *kind = isFlag          ? "unknown flag"
                     : names.empty() ? "unexpected argument"
                                     : "unknown subcommand";
  return fmt::format("{} '{}'{}", kind, key, didYouMean(key, names));
}

/// "qwen-rt data prepare": how the command was called.
std::string pathOf(const CLI::App *command) {
  std::string path = command->get_name();
  while ((command = command->get_parent()))
    path = command->get_name() + " " + path;
  return path;
}

int usageError(CLI::App &app, const CLI::ParseError &error) {
  CLI::App *command = innermost(&app);
  std::string message = error.what();
  int code = 7002;
  if (dynamic_cast<const CLI::ExtrasError *>(&error)) {
    std::vector<std::string> extras = command->remaining(true);
    if (extras.empty())
      extras = app.remaining(true);
    if (!extras.empty()) {
      message = describeExtra(*command, extras.front());
      code = 7001;
    }
  } else if (dynamic_cast<const CLI::RequiredError *>(&error)) {
    // What is missing may be what is mistyped: a flag, or a subcommand.
    std::vector<std::string> extras = command->remaining(true);
    auto extra =
        std::find_if(extras.begin(), extras.end(), [](const std::string &word) {
          return word.size() > 1 && word[0] == '-';
        });
    if (extra == extras.end() && !command->get_subcommands({}).empty())
      extra = extras.begin();
    if (extra != extras.end()) {
      message = describeExtra(*command, *extra);
      code = 7001;
    }
  }
  if (!message.empty() && message.back() == '.')
    message.pop_back();
  if (message.size() > 1 && message[1] >= 'a' && message[1] <= 'z')
    message[0] = static_cast<char>(std::tolower(message[0]));
  std::string line = makeError(code, "", "{}", message).str();
  std::string path = pathOf(command);
  std::fprintf(stderr, "%s\nrun '%s --help' for its options\n", line.c_str(),
               path.c_str());
  return kUsageError;
}

} // namespace

int main(int argc, char **argv) {
  exitOnStopSignals();
  CLI::App app{"Trains, evaluates, runs and measures the models that qwenc "
               "compiles.",
               "qwen-rt"};
  CommonOptions common;
  app.set_help_flag("--help,-h", "print this text and exit");
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  app.footer("Examples:\n"
             "  qwen-rt train model.so --data d/train.bin\n"
             "  qwen-rt generate model.so --weights Qwen3-0.6B/ -p \"Hello\"\n"
             "  qwen-rt inspect model.so\n"
             "Each subcommand has its own --help.\n");
  try {
    for (AddCommand add : kCommands)
      add(app, common);
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp &) {
    const CLI::App *command = innermost(&app);
    std::string path = command == &app ? "" : pathOf(command->get_parent());
    std::fputs(command->help(path).c_str(), stdout);
    return 0;
  } catch (const CLI::CallForAllHelp &) {
    std::fputs(app.help("", CLI::AppFormatMode::All).c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion &) {
    std::printf("%s\n", kVersion);
    return 0;
  } catch (const CLI::ParseError &error) {
    return usageError(app, error);
  }

  // The last guard: nothing below may throw, but the standard library can run
  // out of memory anywhere, and that must not look like a crash.
  try {
    Expected<int> status = common.run();
    if (!status) {
      std::fflush(stdout);
      // Rank 0 tells what all ranks meet; another one speaks when rank 0 does
      // not end the job meanwhile.
      auto ranks = findRanks({});
      int rank = ranks && *ranks ? (*ranks)->rank : 0;
      if (rank > 0)
        std::this_thread::sleep_for(std::chrono::seconds(3));
      std::fprintf(stderr, "%s%s\n",
                   rank > 0 ? fmt::format("rank {}: ", rank).c_str() : "",
                   status.error().str().c_str());
      abortAbandonedJob(1);
      return 1;
    }
    if (std::fflush(stdout) != 0) {
      std::fprintf(stderr, "error: cannot write to stdout [Q7003]\n");
      return 1;
    }
    return *status;
  } catch (const std::bad_alloc &) {
    std::fprintf(stderr, "error: out of memory [Q6001]\n");
  } catch (const std::exception &error) {
    std::fprintf(stderr, "error: internal error: %s [Q6002]\n", error.what());
  }
  return 1;
}
