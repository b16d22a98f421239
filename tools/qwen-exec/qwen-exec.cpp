//===- qwen-exec.cpp - Run functions of model ops: the oracle of tests ----===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs functions of `qwen` and `kernel` ops by their decompositions, on random
// inputs, and prints or checks what comes out.
//
//===----------------------------------------------------------------------===//

#include "compiler/Oracle/Checks.h"
#include "compiler/Oracle/VirtualMesh.h"
#include "dialects/Dist/DistDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::oracle;
namespace cl = llvm::cl;

static cl::OptionCategory category("qwen-exec");

static cl::opt<std::string> inputFile(cl::Positional, cl::desc("[file.mlir]"),
                                      cl::init("-"), cl::cat(category));
static cl::list<std::string>
    functions("function", cl::CommaSeparated, cl::value_desc("name,..."),
              cl::desc("the functions to run (default: all)"),
              cl::cat(category));
static cl::opt<uint64_t> seed("seed", cl::init(1),
                              cl::desc("seed of the inputs (default 1)"),
                              cl::cat(category));
static cl::list<std::string>
    ranges("range", cl::value_desc("name=low:high"),
           cl::desc("bounds of an argument or parameter; the name is qwen.name "
                    "or argN (default: floats -1:1, integers 0:3)"),
           cl::cat(category));
static cl::opt<std::string> givenFile(
    "inputs", cl::value_desc("file.json"),
    cl::desc("inputs that are given: an object of flat lists by name"),
    cl::cat(category));
static cl::opt<Precision> precision(
    "type", cl::desc("the float types to run in"), cl::init(Precision::AsIs),
    cl::values(clEnumValN(Precision::AsIs, "as-is",
                          "the types of the module, with their roundings"),
               clEnumValN(Precision::F32, "f32", "f32 for every float"),
               clEnumValN(Precision::F64, "f64", "f64 for every float")),
    cl::cat(category));
static cl::opt<double>
    tolerance("tolerance", cl::init(1e-6),
              cl::desc("of --check-values, -gradient and -mesh, relative "
                       "(default 1e-6)"),
              cl::cat(category));

static cl::opt<bool> fused("fused", cl::cat(category),
                           cl::desc("--check-mesh: in kernels"));

namespace {
enum class Action {
  PrintChecksums,
  PrintValues,
  CheckValues,
  CheckGradient,
  CheckFusion,
  CheckMemory,
  CheckMesh
};
} // namespace

static cl::opt<Action> action(
    cl::desc("what to do:"), cl::init(Action::PrintValues),
    cl::values(
        clEnumValN(Action::PrintValues, "print-values",
                   "print all results (default)"),
        clEnumValN(Action::PrintChecksums, "print-checksums",
                   "print a hash of each result"),
        clEnumValN(Action::CheckValues, "check-values",
                   "compare the first half of the results with the second"),
        clEnumValN(Action::CheckGradient, "check-gradient",
                   "compare derivatives with central differences, in f64"),
        clEnumValN(Action::CheckFusion, "check-fusion",
                   "run before and after form-kernels: bitwise the same"),
        clEnumValN(Action::CheckMemory, "check-memory",
                   "run with the planned buffers: every operand in its place"),
        clEnumValN(Action::CheckMesh, "check-mesh",
                   "run on every device of the module's mesh: the same as on "
                   "one")),
    cl::cat(category));

static llvm::raw_ostream &error() { return llvm::errs() << "error: "; }

/// Reads --range into `inputs`.
static LogicalResult readRanges(InputGenerator &inputs) {
  for (StringRef text : ranges) {
    auto [name, bounds] = text.split('=');
    auto [low, high] = bounds.split(':');
    InputGenerator::Range range;
    if (name.empty() || low.getAsDouble(range.low) ||
        high.getAsDouble(range.high) || range.low > range.high) {
      error() << "expected --range name=low:high, got " << text << '\n';
      return failure();
    }
    inputs.ranges[name] = range;
  }
  return success();
}

/// Reads --inputs into `inputs`.
static LogicalResult readGiven(InputGenerator &inputs) {
  if (givenFile.empty())
    return success();
  std::string message;
  auto file = openInputFile(givenFile, &message);
  if (!file) {
    error() << message << '\n';
    return failure();
  }
  llvm::Expected<llvm::json::Value> json = llvm::json::parse(file->getBuffer());
  if (!json) {
    error() << givenFile << ": " << llvm::toString(json.takeError()) << '\n';
    return failure();
  }
  const llvm::json::Object *object = json->getAsObject();
  auto fail = [] {
    error() << givenFile << ": expected an object of lists of numbers\n";
    return failure();
  };
  if (!object)
    return fail();
  for (const auto &[name, value] : *object) {
    const llvm::json::Array *list = value.getAsArray();
    if (!list)
      return fail();
    for (const llvm::json::Value &element : *list) {
      std::optional<double> number = element.getAsNumber();
      if (!number)
        return fail();
      inputs.given[name].push_back(*number);
    }
  }
  return success();
}

static LogicalResult print(ModuleOp module, StringRef name,
                           const InputGenerator &inputs) {
  FailureOr<std::vector<Tensor>> results =
      runFunction(module, name, precision, inputs);
  if (failed(results))
    return failure();
  for (auto [i, result] : llvm::enumerate(*results)) {
    llvm::outs() << name << '#' << i << ": " << result.type << " = ";
    if (action == Action::PrintValues)
      result.print(llvm::outs());
    else
      llvm::outs() << llvm::format_hex_no_prefix(result.checksum(), 16);
    llvm::outs() << '\n';
  }
  return success();
}

static LogicalResult checkGradients(ModuleOp module, StringRef name,
                                    const InputGenerator &inputs) {
  FailureOr<std::vector<GradientError>> errors =
      checkGradient(module, name, inputs);
  if (failed(errors))
    return failure();
  bool good = true;
  for (const GradientError &e : *errors) {
    bool passed = e.relative <= tolerance;
    good &= passed;
    llvm::outs() << name << ": d/d " << e.name << ": "
                 << (passed ? "ok" : "WRONG") << ", " << e.compared << " of "
                 << e.total << " elements, relative error "
                 << llvm::format("%.1e", e.relative);
    if (!passed)
      llvm::outs() << ", element " << e.worst << ": expected "
                   << llvm::format("%.10g", e.expected) << ", got "
                   << llvm::format("%.10g", e.actual);
    llvm::outs() << '\n';
  }
  return success(good);
}

static LogicalResult checkFused(ModuleOp module, StringRef name,
                                const InputGenerator &inputs) {
  FailureOr<int64_t> launches = checkFusion(module, name, precision, inputs);
  if (failed(launches))
    return failure();
  llvm::outs() << name << ": the same in " << *launches << " launches\n";
  return success();
}

static LogicalResult checkPlan(ModuleOp module, StringRef name,
                               const InputGenerator &inputs) {
  FailureOr<int64_t> bytes = checkMemory(module, name, inputs);
  if (failed(bytes))
    return failure();
  llvm::outs() << name << ": everything in its place in " << *bytes
               << " bytes\n";
  return success();
}

static LogicalResult checkDevices(ModuleOp module, StringRef name,
                                  const InputGenerator &inputs) {
  FailureOr<std::optional<MeshReport>> found =
      checkMesh(module, name, precision, fused, inputs);
  if (failed(found))
    return failure();
  std::optional<MeshReport> report = *found;
  if (!report)
    return success();
  bool good = report->difference <= tolerance;
  llvm::outs() << name << ": " << (good ? "the same" : "WRONG") << " on "
               << report->devices << " devices, difference "
               << llvm::format("%.1e", report->difference) << " in "
               << report->worst << '\n';
  for (const auto &[collective, count] : report->collectives)
    llvm::outs() << name << ":   " << collective << ": " << count << '\n';
  return success(good);
}

static LogicalResult checkEqual(ModuleOp module, StringRef name,
                                const InputGenerator &inputs) {
  if (failed(checkValues(module, name, precision, tolerance, inputs)))
    return failure();
  llvm::outs() << name << ": ok\n";
  return success();
}

static LogicalResult runOne(ModuleOp module, StringRef name,
                            const InputGenerator &inputs) {
  switch (action) {
  case Action::PrintChecksums:
  case Action::PrintValues:
    return print(module, name, inputs);
  case Action::CheckValues:
    return checkEqual(module, name, inputs);
  case Action::CheckGradient:
    return checkGradients(module, name, inputs);
  case Action::CheckFusion:
    return checkFused(module, name, inputs);
  case Action::CheckMemory:
    return checkPlan(module, name, inputs);
  case Action::CheckMesh:
    if (failed(checkDevices(module, name, inputs)))
      return failure();
    return name == "micro_step"
               ? checkDevices(module, "last_micro_step", inputs)
               : success();
  }
  llvm_unreachable("unknown action");
}

/// The functions asked for; all but hand-written gradients by default.
static FailureOr<std::vector<std::string>> chooseFunctions(ModuleOp module) {
  std::vector<std::string> names = functions;
  for (StringRef name : names)
    if (!module.lookupSymbol<func::FuncOp>(name)) {
      error() << "no function " << name << " in " << inputFile << '\n';
      return failure();
    }
  if (names.empty())
    for (auto func : module.getOps<func::FuncOp>())
      if (action != Action::CheckGradient ||
          !func.getSymName().ends_with("_grad"))
        names.push_back(func.getSymName().str());
  if (names.empty()) {
    error() << "no function in " << inputFile << '\n';
    return failure();
  }
  return names;
}

/// Succeeds if the oracle can run a function like this.
static LogicalResult verifyRunnable(func::FuncOp func) {
  if (func.isExternal() || !func.getBody().hasOneBlock())
    return func.emitOpError("expected a body of one block");
  SmallVector<Type> types(func.getArgumentTypes());
  llvm::append_range(types, func.getResultTypes());
  for (Type type : types) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !tensor.hasStaticShape())
      return func.emitOpError("expected tensors of static shape, got ") << type;
  }
  return success();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv,
                              "runs functions of model ops: the oracle of "
                              "tests\n");
  DialectRegistry registry;
  registry.insert<QwenDialect, kernel::KernelDialect, dist::DistDialect,
                  arith::ArithDialect, math::MathDialect, func::FuncDialect>();
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  context.printOpOnDiagnostic(false);
  InputGenerator inputs(seed);
  if (failed(readRanges(inputs)))
    return 2;
  if (failed(readGiven(inputs)))
    return 1;

  std::string message;
  auto file = openInputFile(inputFile, &message);
  if (!file) {
    error() << message << '\n';
    return 1;
  }
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(file), SMLoc());
  SourceMgrDiagnosticHandler handler(sources, &context);
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, &context);
  if (!module)
    return 1;
  FailureOr<std::vector<std::string>> names = chooseFunctions(*module);
  if (failed(names))
    return 1;
  bool good = true;
  for (StringRef name : *names) {
    auto func = module->lookupSymbol<func::FuncOp>(name);
    good &= succeeded(verifyRunnable(func)) &&
            succeeded(runOne(*module, name, inputs));
  }
  return good ? 0 : 1;
}
