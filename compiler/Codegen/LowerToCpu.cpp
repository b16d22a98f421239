//===- LowerToCpu.cpp - Emit kernels and entry points for the CPU ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "compiler/Codegen/EntryEmitter.h"
#include "compiler/Codegen/Passes.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace qwen {
#define GEN_PASS_DEF_LOWERTOCPU
#include "compiler/Codegen/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

std::string qwen::entrySymbol(StringRef entry, StringRef level) {
  return (entry + "$" + level).str();
}

namespace {

/// Starts kernels by the runtime's parallel_for.
class CpuEntryEmitter : public EntryEmitter {
public:
  CpuEntryEmitter(func::FuncOp entry, ModuleOp module, SymbolTable &symbols,
                  const llvm::StringMap<cpu::KernelCode> &kernels)
      : EntryEmitter(entry, module, symbols), kernels(kernels) {}

private:
  void emitPrologue() override {
    slots = allocate(maxSlots());
    parallelFor = loadField(ptr, api, kApiParallelFor);
  }
  void emitLaunch(kernel::LaunchOp launch, const Arguments &arguments) override;
  Value taskPointer(StringRef symbol);
  Value nameOf(StringRef kernel);

  const llvm::StringMap<cpu::KernelCode> &kernels;
  Value slots, parallelFor;
};

struct LowerToCpu : public qwen::impl::LowerToCpuBase<LowerToCpu> {
  using LowerToCpuBase::LowerToCpuBase;
  void runOnOperation() override;
};

} // namespace

/// A task's address: function pointers of func.func reach the LLVM dialect
/// through a cast that folds away.
Value CpuEntryEmitter::taskPointer(StringRef symbol) {
  auto task = symbols.lookup<func::FuncOp>(symbol);
  Value function =
      func::ConstantOp::create(b, loc, task.getFunctionType(),
                               FlatSymbolRefAttr::get(task.getSymNameAttr()));
  return UnrealizedConversionCastOp::create(b, loc, ptr, function).getResult(0);
}

/// The kernel's name, for the profiler.
Value CpuEntryEmitter::nameOf(StringRef kernel) {
  std::string symbol = ("name$" + kernel).str();
  auto global = symbols.lookup<LLVM::GlobalOp>(symbol);
  if (!global) {
    OpBuilder top(module.getBodyRegion());
    std::string text = kernel.str() + std::string(1, '\0');
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), text.size());
    global = LLVM::GlobalOp::create(top, loc, type, /*isConstant=*/true,
                                    LLVM::Linkage::Internal, symbol,
                                    b.getStringAttr(text));
    symbols.insert(global);
  }
  return LLVM::AddressOfOp::create(b, loc, ptr, symbol);
}

void CpuEntryEmitter::emitLaunch(kernel::LaunchOp launch,
                                 const Arguments &arguments) {
  int64_t next = 0;
  auto store = [&](Value value) {
    LLVM::StoreOp::create(b, loc, value, slot(slots, next++));
  };
  llvm::for_each(arguments.operands, store);
  llvm::for_each(arguments.results, store);
  for (Value value : {arguments.workspace, arguments.batch, arguments.sequence,
                      arguments.rows})
    store(value);

  const cpu::KernelCode &code = kernels.find(launch.getCallee())->second;
  auto signature = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {ptr, ptr, ptr, ptr, i64, i64});
  for (const cpu::Task &task : code.tasks) {
    Value units = evaluate(task.units, arguments);
    LLVM::CallOp::create(b, loc, signature,
                         ValueRange{parallelFor, ctx,
                                    nameOf(launch.getCallee()),
                                    taskPointer(task.symbol), slots, units,
                                    evaluate(task.grain, arguments)});
  }
}

void LowerToCpu::runOnOperation() {
  ModuleOp module = getOperation();
  SmallVector<func::FuncOp> entries;
  for (auto func : module.getOps<func::FuncOp>())
    if (func->hasAttr(entry::kEntry))
      entries.push_back(func);
  SmallVector<kernel::FuncOp> kernelFuncs(module.getOps<kernel::FuncOp>());

  int64_t scratch = 0;
  for (StringRef level : levels)
    for (cpu::CpuTarget &target : cpu::targetsFromOption(level)) {
      target.symbolSuffix = ("$" + target.name()).str();
      llvm::StringMap<cpu::KernelCode> kernels;
      for (kernel::FuncOp kernel : kernelFuncs) {
        FailureOr<cpu::KernelCode> code =
            cpu::emitKernel(kernel, target, module);
        if (failed(code))
          return signalPassFailure();
        scratch = std::max(scratch, code->scratchBytes);
        kernels[kernel.getSymName()] = std::move(*code);
      }
      SymbolTable symbols(module);
      for (func::FuncOp entry : entries)
        CpuEntryEmitter(entry, module, symbols, kernels)
            .emit(entrySymbol(entry.getSymName(), target.name()));
    }
  for (kernel::FuncOp kernel : kernelFuncs)
    kernel.erase();
  for (func::FuncOp entry : entries)
    entry.erase();
  for (auto param : llvm::make_early_inc_range(module.getOps<ParamOp>()))
    param.erase();
  module->setAttr(
      kWorkerScratch,
      IntegerAttr::get(IntegerType::get(&getContext(), 64), scratch));
}
