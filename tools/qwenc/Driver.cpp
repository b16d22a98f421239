//===- Driver.cpp - From a model file to model.so -------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/qwenc/Driver.h"

#include <chrono>
#include <thread>

#include "compiler/Codegen/Cpu/CpuTarget.h"
#include "compiler/Codegen/Passes.h"
#include "compiler/Codegen/Targets.h"
#include "compiler/Frontend/Importer.h"
#include "compiler/Frontend/Node.h"
#include "compiler/Module/GpuImages.h"
#include "compiler/Module/Manifest.h"
#include "compiler/Module/SharedObject.h"
#include "compiler/Pipeline/Pipeline.h"
#include "compiler/Pipeline/Plan.h"
#include "compiler/Remat/Passes.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/FileUtilities.h"
#include "tools/qwenc/Diagnostics.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
using namespace qwen;
using namespace qwenc;

/// Name of the module's attribute that says which phase has run.
static constexpr llvm::StringLiteral kPhaseAttr = "qwen.phase";

namespace {

/// One compilation.
class Driver {
public:
  explicit Driver(const Options &options)
      : options(options), context(registry()),
        diagnostics(context, options.verbose) {
    context.printOpOnDiagnostic(false);
    if (options.jobs == 1)
      context.disableMultithreading();
    if (options.verbose)
      enableRemarks(context);
  }

  /// False if something went wrong and has been told.
  bool run();

private:
  static DialectRegistry registry();
  bool checkOutput();
  bool readInput();
  bool importModelFile();
  /// A module as of --target; before `shard` there is only one, for all.
  using Unit = OwningOpRef<ModuleOp>;

  bool runPhase(Phase phase);
  bool runPhaseOn(Unit &unit, Phase phase);
  bool runPasses(ModuleOp module, Phase phase);
  bool runAfter(ModuleOp module, Phase phase);
  bool runPhases(Phase last);
  std::optional<int64_t> trainPeak(ModuleOp module);
  bool fitBudget(Unit &unit, ModuleOp beforeRemat);
  bool checkBudget(ModuleOp module);
  void explainBudget(ModuleOp module, int64_t arenaBytes);
  bool dump(Phase phase);
  void writeReproducer(Phase phase, ModuleOp before, PassManager &pm);
  bool printModule();
  bool printPlanDocument();
  bool writeLibrary();
  llvm::Error addImages(ModuleOp module, ModuleVariant &variant,
                        unsigned threads);
  bool fail(const Twine &message, int code) {
    printError(message.str(), code);
    return false;
  }

  const Options &options;
  MLIRContext context;
  DiagnosticPrinter diagnostics;
  OwnedModules units;
  Phase done = Phase::Import; // the last phase that has run
  PipelineOptions pipeline;
  std::optional<int64_t> memoryBudget;
};

/// Seconds since a point in time, for --verbose.
class Stopwatch {
public:
  double seconds() const {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begin = Clock::now();
};

} // namespace

DialectRegistry Driver::registry() {
  DialectRegistry registry;
  registerQwenDialects(registry);
  return registry;
}

//===----------------------------------------------------------------------===//
// Input
//===----------------------------------------------------------------------===//

/// Says early that the output cannot be written, not after minutes.
bool Driver::checkOutput() {
  if (llvm::sys::fs::is_directory(options.output))
    return fail("cannot write " + Twine(options.output) + ": it is a folder",
                2902);
  SmallString<128> folder(llvm::sys::path::parent_path(options.output));
  if (folder.empty())
    folder = ".";
  if (!llvm::sys::fs::is_directory(folder))
    return fail("cannot write " + Twine(options.output) + ": no folder " +
                    folder,
                2902);
  if (std::error_code error =
          llvm::sys::fs::access(folder, llvm::sys::fs::AccessMode::Write))
    return fail(
        "cannot write " + Twine(options.output) + ": " + error.message(), 2902);
  return true;
}

bool Driver::importModelFile() {
  LoadOptions load;
  load.overrides = options.overrides;
  llvm::Expected<ModelSpec> spec = loadModel(options.model, load);
  if (!spec) {
    printError(spec.takeError(), 1000);
    return false;
  }
  if (!options.mesh.empty())
    spec->mesh = options.mesh;
  std::vector<std::string> known;
  for (const auto &[logical, axis] : spec->rules)
    known.push_back(axis);
  for (const auto &[axis, size] : spec->mesh)
    if (size > 1 && !llvm::is_contained(known, axis))
      return fail(Twine(options.mesh.empty() ? "parallel.mesh" : "--mesh") +
                      ": no rule splits anything over the axis '" + axis + "'" +
                      suggestNearest(axis, known),
                  2207);
  ImportOptions import;
  import.train = options.train;
  import.infer = options.infer;
  FailureOr<OwningOpRef<ModuleOp>> imported =
      importModel(context, *spec, import);
  if (failed(imported))
    return fail("compiler bug: the model file gives IR that is not valid",
                2900);
  units.push_back(std::move(*imported));
  memoryBudget = spec->memoryBudget;
  pipeline.weights = spec->inferWeights;
  attachModel(*units.front(), *spec);
  return true;
}

bool Driver::readInput() {
  if (options.compileFrom.empty())
    return importModelFile() && runPhase(Phase::Import);
  std::string error;
  std::unique_ptr<llvm::MemoryBuffer> buffer =
      openInputFile(options.model, &error);
  if (!buffer)
    return fail(error, 2903);
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  Unit module = parseSourceFile<ModuleOp>(sources, &context);
  if (!module)
    return fail(options.model + " is not IR that --compile-to has printed",
                2903);
  done = *symbolizePhase(options.compileFrom);
  auto phase = (*module)->getAttrOfType<StringAttr>(kPhaseAttr);
  units = takeTargets(std::move(module));
  if (!phase || phase.getValue() != options.compileFrom)
    return fail(Twine(options.model) + " is not IR of the phase " +
                    options.compileFrom + ", but " +
                    (phase ? "of " + phase.getValue() : "of none"),
                2903);
  return true;
}

//===----------------------------------------------------------------------===//
// Phases
//===----------------------------------------------------------------------===//

void Driver::writeReproducer(Phase phase, ModuleOp before, PassManager &pm) {
  SmallString<128> path(llvm::sys::path::parent_path(options.output));
  llvm::sys::path::append(
      path, ("qwenc-" + stringifyPhase(phase) + ".reproducer.mlir"));
  std::string error;
  std::unique_ptr<llvm::ToolOutputFile> file = openOutputFile(path, &error);
  if (!file) {
    llvm::errs() << "note: cannot write a reproducer: " << error << '\n';
    return;
  }
  before.print(file->os(), OpPrintingFlags().enableDebugInfo());
  file->keep();
  std::string text;
  llvm::raw_string_ostream stream(text);
  pm.printAsTextualPipeline(stream);
  llvm::errs() << "note: the IR before the phase is in " << path
               << "; to run it again:\n  qwen-opt --pass-pipeline='" << text
               << "' " << path << '\n';
}

bool Driver::runPasses(ModuleOp module, Phase phase) {
  PassManager pm(&context, ModuleOp::getOperationName());
  if (failed(applyPassManagerCLOptions(pm)))
    return false;
  applyDefaultTimingPassManagerCLOptions(pm);
  pipeline.target = targetOf(module).str();
  buildPhase(phase, pm, pipeline);
  OwningOpRef<ModuleOp> before = module.clone();
  if (succeeded(pm.run(module)))
    return true;
  // An error with a code is the user's and says what to do.
  if (!diagnostics.sawUserError()) {
    fail("compiler bug: the phase " + stringifyPhase(phase) + " failed", 2900);
    writeReproducer(phase, *before, pm);
  }
  return false;
}

/// What the manifest learns from a phase.
bool Driver::runAfter(ModuleOp module, Phase phase) {
  if (phase != Phase::Memory)
    return true;
  return succeeded(attachEntries(module));
}

/// Bytes that training needs on a device; none without a plan.
std::optional<int64_t> Driver::trainPeak(ModuleOp module) {
  FailureOr<llvm::json::Object> manifest = getManifest(module);
  if (failed(manifest))
    return std::nullopt;
  const llvm::json::Object *memory = manifest->getObject("memory");
  return memory ? memory->getObject("train")->getInteger("peak_bytes")
                : std::nullopt;
}

/// Repeats the phases from `remat` with less to save until training fits its
/// budget or there is nothing left to recompute. Every round recomputes at
/// least one more value, and the last one everything.
bool Driver::fitBudget(Unit &unit, ModuleOp beforeRemat) {
  constexpr int kRounds = 8;
  pipeline.savedBytes = -1;
  for (int round = 1; round <= kRounds; ++round) {
    std::optional<int64_t> peak = trainPeak(*unit);
    int64_t saved = savedBytes(*unit, "micro_step");
    if (!peak || *peak <= *memoryBudget || saved == 0)
      return true;
    // The recomputed values of one layer need room themselves: several rounds.
    pipeline.savedBytes =
        round == kRounds
            ? 0
            : std::max<int64_t>(0, saved - (*peak - *memoryBudget));
    unit = beforeRemat.clone();
    for (Phase phase : {Phase::Remat, Phase::Fuse, Phase::Memory})
      if (!runPhaseOn(unit, phase) || !dump(phase))
        return false;
    if (savedBytes(*unit, "micro_step") == saved)
      return true;
  }
  return true;
}

/// The plan again with a limit that only the largest arena exceeds: it names
/// the largest buffers.
void Driver::explainBudget(ModuleOp module, int64_t arenaBytes) {
  ScopedDiagnosticHandler handler(&context, [](Diagnostic &diagnostic) {
    printNotes(diagnostic);
    return success();
  });
  PipelineOptions limited = pipeline;
  limited.target = targetOf(module).str();
  limited.arenaBudget = std::max<int64_t>(arenaBytes, 1);
  PassManager pm(&context, ModuleOp::getOperationName());
  buildPhase(Phase::Memory, pm, limited);
  (void)pm.run(module);
}

bool Driver::checkBudget(ModuleOp module) {
  FailureOr<llvm::json::Object> manifest = getManifest(module);
  if (failed(manifest))
    return false;
  for (const char *kind : {"train", "infer"}) {
    const llvm::json::Object &bytes =
        *manifest->getObject("memory")->getObject(kind);
    int64_t peak = *bytes.getInteger("peak_bytes");
    if (peak <= *memoryBudget)
      continue;
    int64_t arena = *bytes.getInteger("workspace") +
                    bytes.getInteger("activations").value_or(0);
    fail("memory.budget is " + Twine(*memoryBudget) + " bytes, but " + kind +
             " needs " + Twine(peak) +
             " on each device: " + Twine(peak - arena) + " of state and " +
             Twine(arena) + " of activations and workspace",
         2001);
    explainBudget(module, arena - 1);
    return false;
  }
  return true;
}

bool Driver::dump(Phase phase) {
  if (options.dumpPhasesTo.empty())
    return true;
  SmallString<128> path(options.dumpPhasesTo);
  if (std::error_code error = llvm::sys::fs::create_directories(path))
    return fail("cannot make the folder " + path + ": " + error.message(),
                2902);
  llvm::sys::path::append(path, llvm::formatv("{0}-{1}.mlir",
                                              static_cast<unsigned>(phase),
                                              stringifyPhase(phase))
                                    .str());
  std::string error;
  std::unique_ptr<llvm::ToolOutputFile> file = openOutputFile(path, &error);
  if (!file)
    return fail(error, 2902);
  joinTargets(units)->print(file->os());
  file->os() << '\n';
  file->keep();
  return true;
}

bool Driver::runPhaseOn(Unit &unit, Phase phase) {
  Stopwatch watch;
  if (phase == Phase::Codegen && !isGpuTarget(targetOf(*unit)))
    attachCpu(*unit, options.cpu);
  if (!runPasses(*unit, phase) || !runAfter(*unit, phase))
    return false;
  (*unit)->setAttr(kPhaseAttr,
                   StringAttr::get(&context, stringifyPhase(phase)));
  if (options.verbose)
    llvm::errs() << llvm::format(
        "%-10s%8.3f s  %s\n", stringifyPhase(phase).str().c_str(),
        watch.seconds(),
        phase > Phase::Shard ? targetOf(*unit).str().c_str() : "");
  return true;
}

/// A phase on the modules of all targets.
bool Driver::runPhase(Phase phase) {
  for (Unit &unit : units)
    if (!runPhaseOn(unit, phase))
      return false;
  if (phase == Phase::Shard)
    units = copyForTargets(*units.front(), options.targets);
  done = phase;
  return dump(phase);
}

/// All phases up to `last`.
bool Driver::runPhases(Phase last) {
  OwnedModules beforeRemat;
  for (const PhaseInfo &info : allPhases()) {
    if (info.phase <= done || info.phase > last || info.phase == Phase::Module)
      continue;
    if (info.phase == Phase::Remat && memoryBudget && options.train)
      for (Unit &unit : units)
        beforeRemat.push_back(unit->clone());
    if (!runPhase(info.phase))
      return false;
    if (info.phase != Phase::Memory || !memoryBudget)
      continue;
    for (size_t i = 0; i < units.size(); ++i) {
      if (!beforeRemat.empty() && !fitBudget(units[i], *beforeRemat[i]))
        return false;
      if (!checkBudget(*units[i]))
        return false;
    }
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Output
//===----------------------------------------------------------------------===//

bool Driver::printModule() {
  joinTargets(units)->print(llvm::outs());
  llvm::outs() << '\n';
  return true;
}

bool Driver::printPlanDocument() {
  FailureOr<llvm::json::Object> manifest = getManifest(*units.front());
  if (failed(manifest))
    return false;
  for (const char *key : {"name", "num_parameters", "num_embedding_parameters",
                          "flops_per_token", "mesh", "memory", "collectives"})
    if (!manifest->get(key))
      return fail(Twine("the attribute qwen.manifest lacks ") + key, 2301);
  llvm::json::Object plan = makePlan(*manifest);
  if (options.json)
    llvm::outs() << llvm::formatv("{0:2}", llvm::json::Value(std::move(plan)))
                 << '\n';
  else
    printPlan(plan, llvm::outs());
  return true;
}

/// Images of the kernels, which leave the module.
llvm::Error Driver::addImages(ModuleOp module, ModuleVariant &variant,
                              unsigned threads) {
  auto kernels = module.lookupSymbol<gpu::GPUModuleOp>(kKernels);
  if (!kernels)
    return llvm::Error::success();
  std::vector<GpuArch> archs;
  for (const std::string &name : options.gpuArchs)
    archs.push_back(*parseGpuArch(name));
  llvm::Expected<std::vector<ModuleImage>> images =
      emitGpuImages(kernels, archs, threads, options.allowSlowKernels);
  if (!images)
    return images.takeError();
  variant.images = std::move(*images);
  kernels.erase();
  return llvm::Error::success();
}

bool Driver::writeLibrary() {
  Stopwatch watch;
  SmallVector<ModuleOp> modules;
  for (Unit &unit : units)
    modules.push_back(*unit);
  FailureOr<FinishedManifest> manifest = finishManifest(modules);
  if (failed(manifest))
    return false;
  unsigned threads =
      options.jobs ? options.jobs : std::thread::hardware_concurrency();
  std::vector<ObjectBytes> code;
  auto run = [&]() -> llvm::Error {
    for (ModuleOp module : modules) {
      for (ModuleVariant &variant : manifest->variants)
        if (variant.target == targetOf(module))
          if (llvm::Error error = addImages(module, variant, threads))
            return error;
      llvm::Expected<std::vector<ObjectBytes>> objects =
          emitObjects(module, threads);
      if (!objects)
        return objects.takeError();
      llvm::move(*objects, std::back_inserter(code));
    }
    return writeModule(std::move(code), manifest->variants, manifest->text,
                       options.output);
  };
  if (llvm::Error error = run()) {
    printError(std::move(error), 2900);
    return false;
  }
  if (options.verbose)
    llvm::errs() << llvm::format("%-10s%8.3f s\n", "module", watch.seconds());
  return true;
}

bool Driver::run() {
  Phase last = Phase::Module;
  if (options.plan)
    last = Phase::Memory;
  else if (!options.compileTo.empty())
    last = *symbolizePhase(options.compileTo);
  pipeline.cpu = options.cpu;
  pipeline.train = options.train;
  if (llvm::is_contained(options.targets, "cpu") &&
      cpu::targetsFromOption(options.cpu).empty())
    return fail("this machine is below x86-64-v3 (AVX2 and FMA), the lowest "
                "level that has kernels; name the level of another with --cpu",
                2302);
  if (last == Phase::Module && !checkOutput())
    return false;
  if (!readInput())
    return false;
  if (!runPhases(last))
    return false;
  if (options.plan)
    return printPlanDocument();
  if (last != Phase::Module)
    return printModule();
  return writeLibrary();
}

int qwenc::runDriver(const Options &options) {
  Driver driver(options);
  return driver.run() ? 0 : 1;
}
