//===- CommandLine.cpp - Flags of qwenc -----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/qwenc/CommandLine.h"

#include <CLI/CLI.hpp>

using namespace qwenc;

static constexpr char kExamples[] =
    "Examples:\n"
    "  qwenc models/qwen3-0.6b.yaml -o model.so\n"
    "  qwenc models/tiny.yaml --set train.batch=4 --set dims.layers=2\n"
    "  qwenc Qwen3-0.6B/ --for infer --cpu portable -o qwen3.so\n"
    "  qwenc models/qwen3-8b.yaml --plan --json\n"
    "  qwenc models/qwen3-8b.yaml --target cuda --target cpu -o model.so\n"
    "  qwenc models/tiny.yaml --compile-to=fuse > fused.mlir\n"
    "  qwenc fused.mlir --compile-from=fuse -o model.so\n"
    "MLIR's own --mlir-* options are passed on (--mlir-print-ir-after-all, "
    "--mlir-timing).";

static std::string choices(const std::vector<std::string> &names) {
  std::string text;
  for (const std::string &name : names)
    text += (text.empty() ? "" : "|") + name;
  return text;
}

static bool contains(const std::vector<std::string> &names,
                     const std::string &name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

static UsageError wrongValue(const std::string &flag, const std::string &value,
                             const std::vector<std::string> &known) {
  return {7002,
          "unknown value '" + value + "' of " + flag + " (" + choices(known) +
              ")",
          value, known};
}

/// Splits `train,infer`.
static std::vector<std::string> splitCommas(const std::string &text) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');)
    parts.push_back(part);
  return parts;
}

static std::vector<std::string> flagNames(const CLI::App &app) {
  std::vector<std::string> names;
  for (const CLI::Option *option : app.get_options()) {
    for (const std::string &name : option->get_lnames())
      names.push_back("--" + name);
    for (const std::string &name : option->get_snames())
      names.push_back("-" + name);
  }
  return names;
}

/// Reads `data=2,tensor=4`, or `2x4` for the axes data and tensor. Returns what
/// is wrong with it, or nothing.
static std::string parseMesh(const std::string &text, Mesh &mesh) {
  static const char *const order[] = {"data", "tensor"};
  const std::string form =
      "expected a mesh as data=2,tensor=4 or 2x4, got '" + text + "'";
  bool named = text.find('=') != std::string::npos;
  if (text.empty() || text.back() == (named ? ',' : 'x'))
    return form;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, named ? ',' : 'x');) {
    std::string name, size = part;
    if (named) {
      name = part.substr(0, part.find('='));
      size = part.substr(std::min(part.size(), name.size() + 1));
      if (name.empty() || (part.find('=') == std::string::npos))
        return form;
    } else if (mesh.size() < std::size(order)) {
      name = order[mesh.size()];
    } else {
      return "the mesh '" + text +
             "' has more than two numbers: name its axes, as "
             "data=2,tensor=4";
    }
    bool isNumber = !size.empty() &&
                    size.find_first_not_of("0123456789") == std::string::npos;
    if (!isNumber && !named)
      return form;
    if (!isNumber || size.size() > 5 || std::stol(size) < 1 ||
        std::stol(size) > 65536)
      return "expected 1 to 65536 devices along the mesh axis '" + name +
             "', got '" + size + "'";
    for (const auto &axis : mesh)
      if (axis.first == name)
        return "the mesh axis '" + name + "' is named twice in '" + text + "'";
    mesh.emplace_back(name, std::stol(size));
  }
  return "";
}

static UsageError describeExtra(const CLI::App &app, const std::string &word) {
  if (word.size() < 2 || word[0] != '-')
    return {7001, "unexpected argument '" + word + "'", "", {}};
  std::string flag = word.substr(0, word.find('='));
  return {7001, "unknown flag '" + flag + "'", flag, flagNames(app)};
}

static std::string withoutPeriod(std::string message) {
  while (!message.empty() && (message.back() == '.' || message.back() == '\n'))
    message.pop_back();
  return message;
}

ParseResult qwenc::parseCommandLine(int argc, char **argv,
                                    const KnownNames &known,
                                    const std::string &version) {
  ParseResult result;
  Options options;
  std::vector<std::string> phaseNames;
  for (const Choice &phase : known.phases)
    phaseNames.push_back(phase.name);

  CLI::App app{"Compiles a model file (YAML), or a Hugging Face model "
               "directory, to one shared library.",
               "qwenc"};
  app.set_help_flag("--help,-h", "print this text and exit");
  app.set_version_flag("--version", version);
  app.footer(kExamples);
  std::string purposes = "train,infer", mesh;
  app.add_option("model", options.model,
                 "YAML file or Hugging Face directory; MLIR with "
                 "--compile-from")
      ->type_name("MODEL");
  app.add_option("-o,--output", options.output, "file to write (model.so)")
      ->type_name("FILE");
  app.add_option("--target", options.targets,
                 choices(known.targets) +
                     "; may be repeated: one file for all (default: cpu)")
      ->type_name("TARGET")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--gpu-arch", options.gpuArchs,
                 "GPUs that cuda is for, as sm_90a (the default); may be "
                 "repeated; sm_80 is always there as PTX")
      ->type_name("ARCH")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("--allow-slow-kernels", options.allowSlowKernels,
               "of cuda: kernels that spill registers are warnings, not "
               "errors");
  app.add_option("--cpu", options.cpu,
                 choices(known.cpus) +
                     "; native (the default): one variant for this "
                     "machine; portable: all, chosen at load")
      ->type_name("LEVEL");
  app.add_option("--mesh", mesh,
                 "devices, as data=2,tensor=4 or 2x4 (default: the model "
                 "file's)")
      ->type_name("MESH");
  app.add_option("--for", purposes, "train, infer or train,infer (default)")
      ->type_name("LIST");
  app.add_option("--set", options.overrides,
                 "key=value of the model file, dotted; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("--plan", options.plan,
               "print parameters, FLOPs, bytes and collectives; no code is "
               "generated");
  app.add_flag("--json", options.json, "with --plan: print JSON");
  app.add_option("--compile-to", options.compileTo,
                 "stop after a phase and print the IR")
      ->type_name("PHASE");
  app.add_option("--compile-from", options.compileFrom,
                 "MODEL is IR that --compile-to=PHASE has printed")
      ->type_name("PHASE");
  app.add_option("--dump-phases-to", options.dumpPhasesTo,
                 "write the IR after each phase to a folder")
      ->type_name("DIR");
  app.add_flag("--list-phases", options.listPhases,
               "print the phases and what is true after each");
  app.add_flag("--verbose", options.verbose,
               "print remarks (what was fused, saved, and why not) and times");
  app.add_option("-j,--jobs", options.jobs,
                 "threads of code generation (default: all processors)")
      ->type_name("N")
      ->check(CLI::Range(1u, 1024u));
  app.allow_extras();

  std::vector<std::string> arguments;
  for (int i = argc; --i > 0;) {
    std::string argument = argv[i];
    if (argument.rfind("--mlir-", 0) == 0)
      options.mlirFlags.insert(options.mlirFlags.begin(), argument);
    else
      arguments.push_back(argument);
  }
  try {
    app.parse(arguments); // wants them in reverse
  } catch (const CLI::CallForHelp &) {
    result.text = app.help();
    return result;
  } catch (const CLI::CallForVersion &) {
    result.text = version + "\n";
    return result;
  } catch (const CLI::ParseError &error) {
    result.error = UsageError{7002, withoutPeriod(error.what()), "", {}};
    return result;
  }

  std::vector<std::string> extras = app.remaining();
  if (!extras.empty()) {
    result.error = describeExtra(app, extras.front());
    return result;
  }
  for (const std::string &target : options.targets)
    if (!contains(known.targets, target)) {
      result.error = wrongValue("--target", target, known.targets);
      return result;
    }
  for (const std::string &arch : options.gpuArchs)
    if (!known.isGpuArch(arch)) {
      result.error =
          UsageError{7002,
                     "unknown value '" + arch +
                         "' of --gpu-arch: expected sm_80 or above, as sm_90a",
                     "",
                     {}};
      return result;
    }
  // Each once, in the order of the first time.
  for (std::vector<std::string> *names :
       {&options.targets, &options.gpuArchs}) {
    std::vector<std::string> unique;
    for (const std::string &name : *names)
      if (!contains(unique, name))
        unique.push_back(name);
    *names = std::move(unique);
  }
  if (!contains(options.targets, "cuda") &&
      (!options.gpuArchs.empty() || options.allowSlowKernels)) {
    result.error =
        UsageError{7002,
                   std::string(options.gpuArchs.empty() ? "--allow-slow-kernels"
                                                        : "--gpu-arch") +
                       " goes with --target cuda",
                   "",
                   {}};
    return result;
  }
  if (options.targets.empty())
    options.targets = {"cpu"};
  if (options.gpuArchs.empty())
    options.gpuArchs = {"sm_90a"};
  if (!contains(known.cpus, options.cpu)) {
    result.error = wrongValue("--cpu", options.cpu, known.cpus);
    return result;
  }
  options.train = options.infer = false;
  for (const std::string &purpose : splitCommas(purposes)) {
    if (purpose != "train" && purpose != "infer") {
      result.error = wrongValue("--for", purpose, {"train", "infer"});
      return result;
    }
    (purpose == "train" ? options.train : options.infer) = true;
  }
  for (const auto &[flag, value] :
       {std::pair<std::string, std::string>{"--compile-to", options.compileTo},
        {"--compile-from", options.compileFrom}})
    if (!value.empty() && !contains(phaseNames, value)) {
      result.error = wrongValue(flag, value, phaseNames);
      return result;
    }
  auto refuse = [&](const std::string &message) {
    result.error = UsageError{7002, message, "", {}};
    return result;
  };
  if (!mesh.empty()) {
    std::string wrong = parseMesh(mesh, options.mesh);
    if (!wrong.empty())
      return refuse(wrong);
  }
  if (!options.train && !options.infer)
    return refuse("--for needs train, infer or both");
  if (options.json && !options.plan)
    return refuse("--json goes with --plan");
  if (options.plan && !options.compileTo.empty())
    return refuse("--plan and --compile-to exclude each other");
  if (!options.compileFrom.empty() && !options.overrides.empty())
    return refuse("--set changes a model file; --compile-from reads IR");
  if (!options.compileFrom.empty() && !options.mesh.empty())
    return refuse("--mesh changes a model file; --compile-from reads IR");
  if (options.compileTo == "module")
    return refuse("--compile-to=module would print a library; use -o");
  if (options.compileFrom == "module")
    return refuse("nothing is left to do after the phase module");
  if (options.model.empty() && !options.listPhases)
    return refuse("expected a model file");
  result.options = std::move(options);
  return result;
}
