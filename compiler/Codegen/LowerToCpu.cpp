//===- LowerToCpu.cpp - Emit kernels and entry points for the CPU ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "compiler/Codegen/Passes.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Affine/Utils.h"
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
using kernel::LayerIndex;
using kernel::Space;

std::string qwen::entrySymbol(StringRef entry, StringRef level) {
  return (entry + "$" + level).str();
}

namespace {

/// The offset of a field of the ABI's structures, in pointers
/// (runtime/abi/qwen_module.h).
enum AbiField : int64_t {
  kCtxApi = 0,
  kApiParallelFor = 1,
  kCallArgs = 0,
  kCallExtents = 1,
  kCallArena = 2,
};

/// Emits the host code of one entry for one level.
class EntryEmitter {
public:
  EntryEmitter(func::FuncOp entry, ModuleOp module, SymbolTable &symbols,
               const llvm::StringMap<cpu::KernelCode> &kernels)
      : entry(entry), module(module), symbols(symbols), kernels(kernels),
        b(entry.getContext()) {}

  void emit(StringRef name);

private:
  /// What of a loop moves buffers; null outside of loops.
  struct LoopState {
    Value layer, iteration;
  };

  void emitBlock(Block &block, const LoopState &loop);
  void emitLaunch(kernel::LaunchOp launch, const LoopState &loop);
  void emitLayers(LayersOp layers);
  Value index(LayerIndex kind, const LoopState &loop);
  Value pointer(kernel::BufferAttr buffer, const LoopState &loop);
  Value constant(int64_t value);
  Value loadField(Type type, Value base, int64_t field);
  Value extent(Value extents, StringRef name);
  Value taskPointer(StringRef symbol);
  Value nameOf(StringRef kernel);
  int64_t maxSlots();

  func::FuncOp entry;
  ModuleOp module;
  SymbolTable &symbols;
  const llvm::StringMap<cpu::KernelCode> &kernels;
  OpBuilder b;
  Location loc = entry.getLoc();
  Type ptr, i64;
  Value ctx, parallelFor, args, arena, slots, batch, sequence;
};

struct LowerToCpu : public qwen::impl::LowerToCpuBase<LowerToCpu> {
  using LowerToCpuBase::LowerToCpuBase;
  void runOnOperation() override;
};

} // namespace

Value EntryEmitter::constant(int64_t value) {
  return arith::ConstantIntOp::create(b, loc, value, 64);
}

Value EntryEmitter::loadField(Type type, Value base, int64_t field) {
  Value address = LLVM::GEPOp::create(
      b, loc, ptr, i64, base, ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(field)});
  return LLVM::LoadOp::create(b, loc, type, address);
}

/// `extents` are in the order of the manifest: batch, sequence.
Value EntryEmitter::extent(Value extents, StringRef name) {
  auto attr = entry->getAttrOfType<DictionaryAttr>(entry::kExtents);
  if (!attr || !attr.get(name))
    return constant(1);
  int64_t position = name == "sequence" && attr.get("batch") ? 1 : 0;
  return loadField(i64, extents, position);
}

int64_t EntryEmitter::maxSlots() {
  int64_t slots = 0;
  entry.walk([&](kernel::LaunchOp launch) {
    slots = std::max<int64_t>(slots,
                              launch.getNumOperands() + launch.getNumResults());
  });
  return slots + 4; // workspace, batch, sequence, rows
}

Value EntryEmitter::index(LayerIndex kind, const LoopState &loop) {
  switch (kind) {
  case LayerIndex::None:
    return constant(0);
  case LayerIndex::Layer:
    return loop.layer;
  case LayerIndex::NextLayer:
    return arith::AddIOp::create(b, loc, loop.layer, constant(1));
  case LayerIndex::Even:
    return arith::AndIOp::create(b, loc, loop.iteration, constant(1));
  case LayerIndex::Odd: {
    Value even = arith::AndIOp::create(b, loc, loop.iteration, constant(1));
    return arith::XOrIOp::create(b, loc, even, constant(1));
  }
  }
  llvm_unreachable("unknown index");
}

Value EntryEmitter::pointer(kernel::BufferAttr buffer, const LoopState &loop) {
  Value offset = constant(buffer.getOffset());
  if (buffer.getIndex() != LayerIndex::None) {
    Value moved = arith::MulIOp::create(b, loc, index(buffer.getIndex(), loop),
                                        constant(buffer.getStride()));
    offset = arith::AddIOp::create(b, loc, offset, moved);
  }
  if (buffer.getSpace() == Space::Arena)
    return LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), arena,
                               ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(offset)});
  Value address = LLVM::GEPOp::create(
      b, loc, ptr, ptr, args, ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(offset)});
  return LLVM::LoadOp::create(b, loc, ptr, address);
}

/// A task's address: function pointers of func.func reach the LLVM dialect
/// through a cast that folds away.
Value EntryEmitter::taskPointer(StringRef symbol) {
  auto task = symbols.lookup<func::FuncOp>(symbol);
  Value function =
      func::ConstantOp::create(b, loc, task.getFunctionType(),
                               FlatSymbolRefAttr::get(task.getSymNameAttr()));
  return UnrealizedConversionCastOp::create(b, loc, ptr, function).getResult(0);
}

/// The kernel's name, for the profiler.
Value EntryEmitter::nameOf(StringRef kernel) {
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

void EntryEmitter::emitLaunch(kernel::LaunchOp launch, const LoopState &loop) {
  loc = launch.getLoc();
  int64_t next = 0;
  auto store = [&](Value value) {
    Value address = LLVM::GEPOp::create(
        b, loc, ptr, i64, slots, ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(next++)});
    LLVM::StoreOp::create(b, loc, value, address);
  };
  for (auto buffer : launch.getBuffersAttr().getAsRange<kernel::BufferAttr>())
    store(pointer(buffer, loop));
  store(launch.getWorkspaceAttr() ? pointer(launch.getWorkspaceAttr(), loop)
                                  : Value(LLVM::ZeroOp::create(b, loc, ptr)));
  Value length = launch.getUnitSequence() ? constant(1) : sequence;
  Value rows = arith::MulIOp::create(b, loc, batch, length);
  store(batch);
  store(length);
  store(rows);

  const cpu::KernelCode &code = kernels.find(launch.getCallee())->second;
  auto signature = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {ptr, ptr, ptr, ptr, i64, i64});
  SmallVector<Value> extents;
  for (Value value : {batch, length, rows})
    extents.push_back(
        arith::IndexCastOp::create(b, loc, b.getIndexType(), value));
  for (const cpu::Task &task : code.tasks) {
    Value units = affine::expandAffineExpr(b, loc, task.units.getResult(0),
                                           ValueRange(), extents);
    units = arith::IndexCastOp::create(b, loc, i64, units);
    LLVM::CallOp::create(b, loc, signature,
                         ValueRange{parallelFor, ctx,
                                    nameOf(launch.getCallee()),
                                    taskPointer(task.symbol), slots, units,
                                    constant(task.grain)});
  }
}

void EntryEmitter::emitLayers(LayersOp layers) {
  loc = layers.getLoc();
  auto at = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, loc, value);
  };
  auto loop = scf::ForOp::create(b, loc, at(0), at(layers.getCount()), at(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  LoopState state;
  state.iteration =
      arith::IndexCastOp::create(b, loc, i64, loop.getInductionVar());
  state.layer = state.iteration;
  if (layers.getReverse())
    state.layer = arith::SubIOp::create(b, loc, constant(layers.getCount() - 1),
                                        state.iteration);
  emitBlock(layers.getBlock(), state);
}

void EntryEmitter::emitBlock(Block &block, const LoopState &loop) {
  for (Operation &op : block) {
    if (auto launch = dyn_cast<kernel::LaunchOp>(op))
      emitLaunch(launch, loop);
    else if (auto layers = dyn_cast<LayersOp>(op))
      emitLayers(layers);
  }
}

void EntryEmitter::emit(StringRef name) {
  ptr = LLVM::LLVMPointerType::get(b.getContext());
  i64 = b.getI64Type();
  b.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(
      b, loc, name, b.getFunctionType({ptr, ptr}, b.getI32Type()));
  symbols.insert(function);
  Block *body = function.addEntryBlock();
  b.setInsertionPointToEnd(body);
  ctx = body->getArgument(0);
  Value call = body->getArgument(1);
  slots = LLVM::AllocaOp::create(b, loc, ptr, i64, constant(maxSlots()), 8);
  parallelFor = loadField(ptr, loadField(ptr, ctx, kCtxApi), kApiParallelFor);
  Value extents = loadField(ptr, call, kCallExtents);
  batch = extent(extents, "batch");
  sequence = extent(extents, "sequence");
  args = loadField(ptr, call, kCallArgs);
  arena = loadField(ptr, call, kCallArena);
  emitBlock(entry.getBody().front(), {});
  loc = entry.getLoc();
  Value ok = arith::ConstantIntOp::create(b, loc, 0, 32);
  func::ReturnOp::create(b, loc, ok);
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
        EntryEmitter(entry, module, symbols, kernels)
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
