//===- GpuImages.cpp - PTX and machine code of GPU kernels ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Module/GpuImages.h"

#include <mutex>
#include <thread>

#include "compiler/Module/Ptxas.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "runtime/abi/qwen_module.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

extern "C" {
void LLVMInitializeNVPTXTargetInfo();
void LLVMInitializeNVPTXTarget();
void LLVMInitializeNVPTXTargetMC();
void LLVMInitializeNVPTXAsmPrinter();
}

using namespace mlir;
using llvm::Expected;

namespace qwen {

/// The lowest version of PTX that has all instructions in use.
static constexpr char kPtxFeature[] = "+ptx86";

std::string GpuArch::name() const {
  return "sm_" + std::to_string(number) + (isSpecific ? "a" : "");
}

std::optional<GpuArch> parseGpuArch(llvm::StringRef name) {
  GpuArch arch;
  if (!name.consume_front("sm_"))
    return std::nullopt;
  arch.isSpecific = name.consume_back("a");
  if (name.getAsInteger(10, arch.number) || arch.number < kPortableArch ||
      arch.number > 121 || (arch.isSpecific && arch.number < 90))
    return std::nullopt;
  return arch;
}

static Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(GpuArch arch) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string error;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return llvm::createStringError("no code generator for NVIDIA GPUs: " +
                                   error);
  llvm::TargetOptions options;
  // Only what the IR marks with `contract` is fused.
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, arch.name(), kPtxFeature, options, std::nullopt, std::nullopt,
      llvm::CodeGenOptLevel::Aggressive));
}

/// Optimizes and emits one LLVM module as PTX.
static Expected<std::string> emitText(llvm::Module &module, GpuArch arch) {
  Expected<std::unique_ptr<llvm::TargetMachine>> machine =
      createTargetMachine(arch);
  if (!machine)
    return machine.takeError();
  module.setTargetTriple((*machine)->getTargetTriple());
  module.setDataLayout((*machine)->createDataLayout());
  std::string problem;
  llvm::raw_string_ostream problemStream(problem);
  if (llvm::verifyModule(module, &problemStream))
    return llvm::createStringError("generated code is not valid: " + problem);
  optimizeModule(module, **machine);

  llvm::SmallVector<char, 0> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager codegen;
  if ((*machine)->addPassesToEmitFile(codegen, stream, nullptr,
                                      llvm::CodeGenFileType::AssemblyFile))
    return llvm::createStringError("the code generator writes no PTX");
  codegen.run(module);
  llvm::StringRef ptx(text.data(), text.size());
  // A function of a library that nobody has: the driver would refuse it.
  if (size_t at = ptx.find(".extern .func"); at != llvm::StringRef::npos)
    return llvm::createStringError(
        "compiler bug: a kernel calls what is not there: " +
        ptx.substr(at).split('\n').first + " [Q2900]");
  return ptx.str();
}

/// The kernels as LLVM bitcode, which other threads can read.
static Expected<std::string> translate(gpu::GPUModuleOp kernels) {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module =
      translateModuleToLLVMIR(kernels, context, "kernels");
  if (!module)
    return llvm::createStringError("cannot translate the kernels to LLVM IR");
  std::string bitcode;
  llvm::raw_string_ostream stream(bitcode);
  llvm::WriteBitcodeToFile(*module, stream);
  return bitcode;
}

static Expected<std::string> emitBitcode(llvm::StringRef bitcode,
                                         GpuArch arch) {
  llvm::LLVMContext context;
  Expected<std::unique_ptr<llvm::Module>> module = llvm::parseBitcodeFile(
      llvm::MemoryBufferRef(bitcode, "kernels"), context);
  if (!module)
    return module.takeError();
  return emitText(**module, arch);
}

Expected<std::string> emitPtx(gpu::GPUModuleOp kernels, GpuArch arch) {
  Expected<std::string> bitcode = translate(kernels);
  return bitcode ? emitBitcode(*bitcode, arch) : bitcode.takeError();
}

/// At the kernel's location, if the name is one of a kernel.
static void report(gpu::GPUModuleOp kernels, const PtxasFinding &finding,
                   bool isError) {
  auto function = kernels.lookupSymbol<LLVM::LLVMFuncOp>(finding.kernel);
  Location loc = function ? function.getLoc() : kernels.getLoc();
  InFlightDiagnostic diagnostic = isError ? emitError(loc) : emitWarning(loc);
  diagnostic << "kernel " << finding.kernel << " on " << finding.arch << ": "
             << finding.message;
  if (isError)
    diagnostic << " [Q2403]";
}

Expected<std::vector<ModuleImage>> emitGpuImages(gpu::GPUModuleOp kernels,
                                                 llvm::ArrayRef<GpuArch> archs,
                                                 unsigned threads,
                                                 bool allowSlowKernels) {
  Expected<std::string> bitcode = translate(kernels);
  if (!bitcode)
    return bitcode.takeError();
  std::vector<GpuArch> all(archs.begin(), archs.end());
  if (!llvm::is_contained(all, GpuArch{kPortableArch, false}))
    all.push_back({kPortableArch, false});

  std::optional<std::string> assembler = findPtxas();
  struct Work {
    std::string ptx, error;
    std::optional<PtxasResult> machineCode;
  };
  std::vector<Work> works(all.size());
  auto emit = [&](size_t i) {
    Expected<std::string> ptx = emitBitcode(*bitcode, all[i]);
    if (!ptx) {
      works[i].error = llvm::toString(ptx.takeError());
      return;
    }
    works[i].ptx = std::move(*ptx);
    // Machine code for what was asked for; the portable PTX is for the driver.
    if (!assembler || i >= archs.size())
      return;
    Expected<PtxasResult> result =
        runPtxas(*assembler, works[i].ptx, all[i].name(), threads);
    if (result)
      works[i].machineCode = std::move(*result);
    else
      works[i].error = llvm::toString(result.takeError());
  };
  std::vector<std::thread> workers;
  for (size_t i = 1; i < all.size(); ++i)
    if (threads > 1)
      workers.emplace_back(emit, i);
    else
      emit(i);
  emit(0);
  for (std::thread &worker : workers)
    worker.join();

  std::vector<ModuleImage> images;
  size_t findings = 0;
  for (auto [arch, work] : llvm::zip(all, works)) {
    if (!work.error.empty())
      return llvm::createStringError(work.error);
    if (work.machineCode) {
      for (const PtxasFinding &finding : work.machineCode->findings)
        report(kernels, finding, !allowSlowKernels);
      findings += work.machineCode->findings.size();
      images.push_back({QRT_CUBIN, arch.number, arch.isSpecific,
                        std::move(work.machineCode->bytes)});
    }
    images.push_back(
        {QRT_PTX, arch.number, arch.isSpecific, std::move(work.ptx)});
  }
  if (findings != 0 && !allowSlowKernels)
    return llvm::createStringError(
        "ptxas found what makes " + std::to_string(findings) +
        (findings == 1 ? " kernel" : " kernels") +
        " slow; report it with the model file, and pass --allow-slow-kernels "
        "to go on [Q2403]");
  return images;
}

} // namespace qwen
