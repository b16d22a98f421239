//===- ObjectFile.cpp - Object code in memory -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Module/ObjectFile.h"

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "compiler/Module/LowerToLLVM.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

using namespace mlir;
using llvm::Expected;

namespace qwen {

// Functions of one object: small enough to keep several threads busy, large
// enough that reading the whole module again costs little.
static constexpr unsigned kFunctionsPerObject = 24;
static constexpr char kTriple[] = "x86_64-unknown-linux-gnu";
static constexpr char kBaseCpu[] = "x86-64";

//===----------------------------------------------------------------------===//
// The target
//===----------------------------------------------------------------------===//

static void initializeTarget() {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    llvm::InitializeNativeTargetAsmParser();
  });
}

static Expected<std::unique_ptr<llvm::TargetMachine>> createTargetMachine() {
  initializeTarget();
  llvm::Triple triple(kTriple);
  std::string error;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return llvm::createStringError("no x86-64 code generator: " + error);
  llvm::TargetOptions options;
  // Only what the IR marks with `contract` is fused.
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, kBaseCpu, /*Features=*/"", options, llvm::Reloc::PIC_,
      std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

/// Both attributes on every function: one without features would inherit the
/// target machine's.
static void setFunctionAttributes(llvm::Function &function) {
  if (!function.hasFnAttribute("target-cpu")) {
    function.addFnAttr("target-cpu", kBaseCpu);
    function.addFnAttr("target-features", "");
  } else if (!function.hasFnAttribute("target-features")) {
    function.addFnAttr("target-features", "");
  }
  // No exception leaves generated code, so no unwind tables.
  function.addFnAttr(llvm::Attribute::NoUnwind);
}

//===----------------------------------------------------------------------===//
// One LLVM module
//===----------------------------------------------------------------------===//

void optimizeModule(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = true;
  tuning.SLPVectorization = true;
  tuning.LoopUnrolling = true;
  llvm::PassBuilder builder(&machine, tuning);
  llvm::TargetLibraryInfoImpl library(module.getTargetTriple());
  functions.registerPass([&] { return llvm::TargetLibraryAnalysis(library); });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3)
      .run(module, modules);
}

Expected<ObjectBytes> emitLLVMModule(llvm::Module &module) {
  Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createTargetMachine();
  if (!machine)
    return machine.takeError();
  module.setTargetTriple(llvm::Triple(kTriple));
  module.setDataLayout((*machine)->createDataLayout());
  module.setPICLevel(llvm::PICLevel::BigPIC);
  for (llvm::Function &function : module)
    if (!function.isDeclaration())
      setFunctionAttributes(function);
  std::string problem;
  llvm::raw_string_ostream problemStream(problem);
  if (llvm::verifyModule(module, &problemStream))
    return llvm::createStringError("generated code is not valid: " + problem);
  optimizeModule(module, **machine);

  ObjectBytes object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager codegen;
  codegen.add(new llvm::TargetLibraryInfoWrapperPass(
      llvm::TargetLibraryInfoImpl(module.getTargetTriple())));
  if ((*machine)->addPassesToEmitFile(codegen, stream, nullptr,
                                      llvm::CodeGenFileType::ObjectFile))
    return llvm::createStringError("the code generator writes no objects");
  codegen.run(module);
  return object;
}

//===----------------------------------------------------------------------===//
// MLIR to objects
//===----------------------------------------------------------------------===//

/// Lowers what is left and translates. Hidden symbols: the linked file exports
/// only what says so itself.
static Expected<std::unique_ptr<llvm::Module>>
translate(ModuleOp module, llvm::LLVMContext &context) {
  bool isLowered = true;
  for (Operation &op : *module.getBody())
    isLowered &= isa_and_nonnull<LLVM::LLVMDialect>(op.getDialect());
  if (!isLowered) {
    PassManager pm(module.getContext(), ModuleOp::getOperationName());
    buildLowerToLLVM(pm);
    if (failed(pm.run(module)))
      return llvm::createStringError("cannot lower the module to LLVM");
  }
  std::unique_ptr<llvm::Module> translated =
      translateModuleToLLVMIR(module, context, "qwen_module");
  if (!translated)
    return llvm::createStringError("cannot translate the module to LLVM IR");
  for (llvm::GlobalValue &value : translated->global_values())
    if (!value.isDeclaration() && !value.hasLocalLinkage() &&
        value.hasDefaultVisibility())
      value.setVisibility(llvm::GlobalValue::HiddenVisibility);
  return translated;
}

/// Leaves in `module` the bodies of defined functions [begin, end) only, in
/// the module's order, and (in the first part) the variables.
static void keepPart(llvm::Module &module, unsigned begin, unsigned end) {
  unsigned index = 0;
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    bool keep = index >= begin && index < end;
    ++index;
    if (!keep) {
      function.deleteBody();
      function.setVisibility(llvm::GlobalValue::HiddenVisibility);
    }
  }
  if (begin == 0)
    return;
  for (llvm::GlobalVariable &variable : module.globals())
    if (!variable.isDeclaration() && !variable.hasLocalLinkage()) {
      variable.setInitializer(nullptr);
      variable.setLinkage(llvm::GlobalValue::ExternalLinkage);
    }
}

static Expected<ObjectBytes> emitPart(llvm::StringRef bitcode, unsigned begin,
                                      unsigned end) {
  llvm::LLVMContext context;
  Expected<std::unique_ptr<llvm::Module>> module = llvm::parseBitcodeFile(
      llvm::MemoryBufferRef(bitcode, "qwen_module"), context);
  if (!module)
    return module.takeError();
  keepPart(**module, begin, end);
  return emitLLVMModule(**module);
}

Expected<std::vector<ObjectBytes>> emitObjects(ModuleOp module,
                                               unsigned threads) {
  llvm::LLVMContext context;
  Expected<std::unique_ptr<llvm::Module>> translated =
      translate(module, context);
  if (!translated)
    return translated.takeError();
  unsigned defined = 0;
  for (llvm::Function &function : **translated) {
    if (function.isDeclaration())
      continue;
    ++defined;
    // Another part may call it.
    if (function.hasLocalLinkage()) {
      function.setLinkage(llvm::GlobalValue::ExternalLinkage);
      function.setVisibility(llvm::GlobalValue::HiddenVisibility);
    }
  }
  unsigned parts = std::max(1u, llvm::divideCeil(defined, kFunctionsPerObject));
  std::vector<ObjectBytes> objects(parts);
  if (parts == 1) {
    Expected<ObjectBytes> object = emitLLVMModule(**translated);
    if (!object)
      return object.takeError();
    objects[0] = std::move(*object);
    return objects;
  }

  llvm::SmallVector<char, 0> bitcode;
  llvm::raw_svector_ostream stream(bitcode);
  llvm::WriteBitcodeToFile(**translated, stream);
  llvm::StringRef bytes(bitcode.data(), bitcode.size());
  initializeTarget();
  std::vector<std::string> errors(parts);
  std::atomic<unsigned> next{0};
  auto work = [&] {
    for (unsigned part; (part = next++) < parts;) {
      Expected<ObjectBytes> object =
          emitPart(bytes, part * kFunctionsPerObject,
                   std::min(defined, (part + 1) * kFunctionsPerObject));
      if (object)
        objects[part] = std::move(*object);
      else
        errors[part] = llvm::toString(object.takeError());
    }
  };
  std::vector<std::thread> workers;
  for (unsigned i = 1; i < std::min(threads, parts); ++i)
    workers.emplace_back(work);
  work();
  for (std::thread &worker : workers)
    worker.join();
  for (const std::string &error : errors)
    if (!error.empty())
      return llvm::createStringError(error);
  return objects;
}

Expected<ObjectBytes> emitObject(ModuleOp module) {
  llvm::LLVMContext context;
  Expected<std::unique_ptr<llvm::Module>> translated =
      translate(module, context);
  if (!translated)
    return translated.takeError();
  return emitLLVMModule(**translated);
}

//===----------------------------------------------------------------------===//
// Undefined symbols
//===----------------------------------------------------------------------===//

/// Functions that generated code may call: present in every libc and libm.
static bool isAllowedUndefined(llvm::StringRef name) {
  static const std::set<llvm::StringRef> memory = {"memcpy", "memmove",
                                                   "memset"};
  static const std::set<llvm::StringRef> math = {
      "acos", "asin", "atan", "atan2", "cbrt",      "ceil",      "cos",
      "cosh", "erf",  "exp",  "exp2",  "expm1",     "fabs",      "floor",
      "fma",  "fmax", "fmin", "fmod",  "log",       "log10",     "log1p",
      "log2", "pow",  "rint", "round", "sin",       "sincos",    "sinh",
      "sqrt", "tan",  "tanh", "trunc", "roundeven", "nearbyint", "ldexp"};
  if (memory.count(name) || math.count(name))
    return true;
  return name.consume_back("f") && math.count(name);
}

llvm::Error checkUndefinedSymbols(llvm::ArrayRef<ObjectBytes> objects) {
  std::set<std::string> defined, undefined;
  for (const ObjectBytes &bytes : objects) {
    llvm::MemoryBufferRef buffer(llvm::StringRef(bytes.data(), bytes.size()),
                                 "object");
    Expected<std::unique_ptr<llvm::object::ObjectFile>> object =
        llvm::object::ObjectFile::createObjectFile(buffer);
    if (!object)
      return object.takeError();
    for (const llvm::object::SymbolRef &symbol : (*object)->symbols()) {
      Expected<llvm::StringRef> name = symbol.getName();
      if (!name)
        return name.takeError();
      Expected<uint32_t> flags = symbol.getFlags();
      if (!flags)
        return flags.takeError();
      if (name->empty() ||
          (*flags & llvm::object::SymbolRef::SF_FormatSpecific))
        continue;
      bool isUndefined = *flags & llvm::object::SymbolRef::SF_Undefined;
      (isUndefined ? undefined : defined).insert(name->str());
    }
  }
  std::string missing;
  for (const std::string &name : undefined)
    if (!defined.count(name) && !isAllowedUndefined(name))
      missing += (missing.empty() ? "" : ", ") + name;
  if (missing.empty())
    return llvm::Error::success();
  return llvm::createStringError(
      "compiler bug: generated code calls what is not there: " + missing +
      " [Q2900]");
}

} // namespace qwen
