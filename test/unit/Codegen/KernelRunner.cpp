//===- KernelRunner.cpp - Compiles and runs one kernel --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/Codegen/KernelRunner.h"
#include "test/unit/Codegen/GpuKernel.h"

#include <atomic>
#include <cstring>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "compiler/Module/LowerToLLVM.h"
#include "compiler/Module/ObjectFile.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/TargetSelect.h"

using namespace qwen;
using namespace qwen::testing;

using TaskFunction = void (*)(void *, int64_t, int64_t, void *);

static constexpr size_t kAlignment = 64;

namespace {
/// Memory aligned as the runtime's, filled with NaNs.
struct Buffer {
  explicit Buffer(int64_t bytes)
      : size(llvm::alignTo(std::max<int64_t>(bytes, 1), kAlignment)),
        data(std::aligned_alloc(kAlignment, size)) {
    std::memset(data, 0xff, size);
  }
  ~Buffer() { std::free(data); }
  Buffer(const Buffer &) = delete;
  size_t size;
  void *data;
};
} // namespace

struct KernelRunner::State {
  mlir::MLIRContext context;
  /// For a GPU, instead of all below.
  std::unique_ptr<GpuKernel> gpu;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  cpu::KernelCode code;
  std::vector<TaskFunction> functions;
  int64_t workspaceBytes = 0;

  State() : context(registry()) {}
  static mlir::DialectRegistry registry() {
    mlir::DialectRegistry registry;
    cpu::registerCodegenDialects(registry);
    registerCodegenDialects(registry);
    return registry;
  }
  int64_t units(size_t task, const Launch &launch) {
    return evaluate(code.tasks[task].units, launch);
  }
  int64_t grain(size_t task, const Launch &launch) {
    return evaluate(code.tasks[task].grain, launch);
  }
  /// The least of the map's results.
  int64_t evaluate(mlir::AffineMap map, const Launch &launch) {
    llvm::SmallVector<int64_t> extents = {launch.batch, launch.sequence,
                                          launch.batch * launch.sequence};
    llvm::SmallVector<mlir::Attribute> constants;
    mlir::Builder builder(&context);
    for (int64_t extent : extents)
      constants.push_back(builder.getI64IntegerAttr(extent));
    llvm::SmallVector<mlir::Attribute> folded;
    if (failed(map.constantFold(constants, folded)))
      llvm::report_fatal_error("units do not fold");
    int64_t least = INT64_MAX;
    for (mlir::Attribute value : folded)
      least = std::min(least, mlir::cast<mlir::IntegerAttr>(value).getInt());
    return least;
  }
  std::vector<int64_t> slots(const Launch &launch, void *workspace) {
    std::vector<int64_t> all;
    for (void *pointer : launch.arguments)
      all.push_back(reinterpret_cast<int64_t>(pointer));
    for (void *pointer : launch.results)
      all.push_back(reinterpret_cast<int64_t>(pointer));
    all.push_back(reinterpret_cast<int64_t>(workspace));
    all.push_back(launch.batch);
    all.push_back(launch.sequence);
    all.push_back(launch.batch * launch.sequence);
    return all;
  }
};

KernelRunner::KernelRunner() : state(std::make_unique<State>()) {}
KernelRunner::~KernelRunner() = default;

int64_t KernelRunner::workspaceBytes() const { return state->workspaceBytes; }
int64_t KernelRunner::scratchBytes() const { return state->code.scratchBytes; }

llvm::Expected<std::unique_ptr<KernelRunner>>
KernelRunner::create(const std::string &text, const TestTarget &test,
                     int64_t maxRows) {
  std::unique_ptr<KernelRunner> runner(new KernelRunner());
  State &state = *runner->state;
  state.context.loadAllAvailableDialects();
  auto parsed = mlir::parseSourceString<mlir::ModuleOp>(text, &state.context);
  if (!parsed)
    return llvm::createStringError("the kernel does not parse");
  auto kernels = parsed->getOps<kernel::FuncOp>();
  kernel::FuncOp kernel = *kernels.begin();
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::ModuleOp::create(mlir::UnknownLoc::get(&state.context));
  std::string diagnostics;
  mlir::ScopedDiagnosticHandler handler(
      &state.context, [&](mlir::Diagnostic &diagnostic) {
        diagnostics += diagnostic.str() + "\n";
        return mlir::success();
      });
  if (test.isGpu()) {
    auto gpu = GpuKernel::create(kernel, *module, maxRows);
    if (!gpu)
      return llvm::createStringError(llvm::toString(gpu.takeError()) +
                                     diagnostics);
    state.gpu = std::move(*gpu);
    return runner;
  }
  const cpu::CpuTarget &target = *test.cpu;
  auto code = cpu::emitKernel(kernel, target, *module);
  if (failed(code))
    return llvm::createStringError("not emitted: " + diagnostics);
  state.code = *code;
  state.workspaceBytes = cpu::workspaceBytes(kernel, target, maxRows);
  if (failed(module->verify()))
    return llvm::createStringError("the emitted code is not valid");
  auto objects = emitObjects(*module);
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
  auto &library = state.jit->getMainJITDylib();
  library.addGenerator(std::move(*process));
  for (const ObjectBytes &object : *objects)
    if (auto error =
            state.jit->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(
                llvm::StringRef(object.data(), object.size()))))
      return std::move(error);
  for (const cpu::Task &task : state.code.tasks) {
    // Generated symbols are hidden: only a lookup of all symbols finds them.
    auto symbol = state.jit->getExecutionSession().lookup(
        {{&library, llvm::orc::JITDylibLookupFlags::MatchAllSymbols}},
        state.jit->mangleAndIntern(task.symbol));
    if (!symbol)
      return symbol.takeError();
    state.functions.push_back(symbol->getAddress().toPtr<TaskFunction>());
  }
  return runner;
}

void KernelRunner::run(const Launch &launch, int64_t chunk, bool reversed) {
  if (state->gpu)
    return state->gpu->run(launch, chunk ? chunk : 1);
  Buffer workspace(state->workspaceBytes), scratch(state->code.scratchBytes);
  std::vector<int64_t> slots = state->slots(launch, workspace.data);
  for (size_t t = 0; t < state->functions.size(); ++t) {
    int64_t units = state->units(t, launch);
    int64_t step = chunk ? chunk : state->grain(t, launch);
    int64_t chunks = llvm::divideCeil(units, step);
    for (int64_t i = 0; i < chunks; ++i) {
      int64_t begin = (reversed ? chunks - 1 - i : i) * step;
      std::memset(scratch.data, 0xff, scratch.size);
      state->functions[t](slots.data(), begin, std::min(begin + step, units),
                          scratch.data);
    }
  }
}

void KernelRunner::runParallel(const Launch &launch, unsigned threads) {
  static thread_local std::unique_ptr<Buffer> workspace;
  if (!workspace || int64_t(workspace->size) < state->workspaceBytes)
    workspace = std::make_unique<Buffer>(state->workspaceBytes);
  static thread_local std::vector<std::unique_ptr<Buffer>> scratches;
  while (scratches.size() < threads)
    scratches.push_back(std::make_unique<Buffer>(int64_t(16) << 20));
  std::vector<int64_t> slots = state->slots(launch, workspace->data);
  for (size_t t = 0; t < state->functions.size(); ++t) {
    int64_t units = state->units(t, launch);
    int64_t grain = state->grain(t, launch);
    std::atomic<int64_t> next{0};
    auto work = [&](void *scratch) {
      for (int64_t i; (i = next.fetch_add(grain)) < units;)
        state->functions[t](slots.data(), i, std::min(i + grain, units),
                            scratch);
    };
    std::vector<std::thread> others;
    for (unsigned i = 1; i < threads; ++i)
      others.emplace_back(work, scratches[i]->data);
    work(scratches[0]->data);
    for (std::thread &thread : others)
      thread.join();
  }
}

std::vector<TestTarget> testing::runnableTargets() {
  static bool once = [] {
    // Permission to use the AMX tiles: ARCH_REQ_XCOMP_PERM, XTILEDATA.
    syscall(SYS_arch_prctl, 0x1023, 18);
    return true;
  }();
  (void)once;
  std::vector<TestTarget> targets;
  auto native = cpu::nativeTarget();
  for (auto level :
       {cpu::CpuTarget::V3, cpu::CpuTarget::V4, cpu::CpuTarget::AMX})
    if (native && native->level >= level)
      targets.push_back({cpu::CpuTarget::get(level)});
  targets.push_back({});
  return targets;
}

uint16_t testing::toBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

float testing::fromBf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}
