//===- SimModule.cpp - GPU kernels run on the host ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/Codegen/SimModule.h"

#include "compiler/Codegen/Passes.h"
#include "compiler/Module/LowerToLLVM.h"
#include "compiler/Module/ObjectFile.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "runtime/cudasim/Simulator.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"

using namespace qwen;
using namespace qwen::testing;

struct SimModule::State {
  std::unique_ptr<llvm::orc::LLJIT> jit;
  /// Bytes of static shared memory by kernel.
  llvm::StringMap<uint32_t> staticBytes;
};

SimModule::SimModule() : state(std::make_unique<State>()) {}
SimModule::~SimModule() = default;

llvm::Expected<std::unique_ptr<SimModule>>
SimModule::create(mlir::ModuleOp module) {
  std::unique_ptr<SimModule> made(new SimModule());
  State &state = *made->state;
  std::string diagnostics;
  mlir::ScopedDiagnosticHandler handler(
      module.getContext(), [&](mlir::Diagnostic &diagnostic) {
        diagnostics += diagnostic.str() + "\n";
        return mlir::success();
      });
  mlir::PassManager passes(module.getContext());
  buildLowerToLLVM(passes);
  passes.addPass(createNvvmToHost());
  if (failed(passes.run(module)))
    return llvm::createStringError("not lowered: " + diagnostics);
  for (auto kernel : module.getOps<mlir::LLVM::LLVMFuncOp>()) {
    auto bytes = kernel->getAttrOfType<mlir::IntegerAttr>(kStaticSharedBytes);
    state.staticBytes[kernel.getSymName()] = bytes ? bytes.getInt() : 0;
  }
  auto objects = emitObjects(module);
  if (!objects)
    return objects.takeError();
  auto jit = llvm::orc::LLJITBuilder().create();
  if (!jit)
    return jit.takeError();
  state.jit = std::move(*jit);
  auto process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      state.jit->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  state.jit->getMainJITDylib().addGenerator(std::move(*process));
  for (const ObjectBytes &object : *objects)
    if (auto error =
            state.jit->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(
                llvm::StringRef(object.data(), object.size()))))
      return std::move(error);
  return made;
}

llvm::Expected<std::unique_ptr<SimModule>>
SimModule::create(const std::string &text) {
  mlir::DialectRegistry registry;
  registerCodegenDialects(registry);
  mlir::MLIRContext context(registry);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  if (!module)
    return llvm::createStringError("the kernels do not parse");
  return create(*module);
}

std::string SimModule::launch(const std::string &name, const Grid &grid,
                              const std::vector<void *> &params,
                              int hostThreads) {
  auto &library = state->jit->getMainJITDylib();
  // Generated symbols are hidden: only a lookup of all symbols finds them.
  auto symbol = state->jit->getExecutionSession().lookup(
      {{&library, llvm::orc::JITDylibLookupFlags::MatchAllSymbols}},
      state->jit->mangleAndIntern(name));
  if (!symbol)
    return llvm::toString(symbol.takeError());
  qrt_kernel kernel = {};
  kernel.name = name.c_str();
  kernel.block[0] = grid.threads;
  kernel.block[1] = kernel.block[2] = 1;
  uint32_t fixed = state->staticBytes.lookup(name);
  kernel.shared_bytes =
      (fixed ? (fixed + 127) / 128 * 128 : 0) + grid.sharedBytes;
  kernel.num_params = params.size();
  kernel.thread = symbol->getAddress()
                      .toPtr<void (*)(const qrt_sim_thread *, void *const *)>();
  qrt::ThreadPool pool(hostThreads);
  qrt::cudasim::Simulator simulator(pool, /*findRaces=*/true);
  qrt::Status status =
      simulator.launch(kernel, grid.blocks.data(), params.data());
  return status ? "" : status.error().message;
}
