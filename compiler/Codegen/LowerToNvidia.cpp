//===- LowerToNvidia.cpp - Emit kernels and entry points for GPUs ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/EntryEmitter.h"
#include "compiler/Codegen/Nvidia/NvidiaKernels.h"
#include "compiler/Codegen/Passes.h"
#include "compiler/Codegen/ProductTable.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/StringMap.h"

namespace qwen {
#define GEN_PASS_DEF_LOWERTONVIDIA
#include "compiler/Codegen/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

namespace {

/// A kernel's launches, the number of the first in the module's table, and that
/// of the product that a library may do.
struct NumberedCode {
  nvidia::KernelCode launches;
  int64_t first, product;
};

/// Starts kernels by the runtime's launch. After one that fails no other is
/// started, and its code is the entry's result.
class GpuEntryEmitter : public EntryEmitter {
public:
  GpuEntryEmitter(func::FuncOp entry, ModuleOp module, SymbolTable &symbols,
                  SymbolTable &kernelSymbols,
                  const llvm::StringMap<NumberedCode> &kernels)
      : EntryEmitter(entry, module, symbols), kernelSymbols(kernelSymbols),
        kernels(kernels) {}

private:
  void emitPrologue() override;
  void emitLaunch(kernel::LaunchOp launch, const Arguments &arguments) override;
  Value emitStatus() override {
    return LLVM::LoadOp::create(b, loc, b.getI32Type(), status);
  }

  /// Calls the library; whether the launch is to take its place (i1).
  Value emitProduct(int64_t product, const Arguments &arguments);
  Value isZero(Value value) {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, value,
                                 i32(0));
  }
  Value load(Value address) {
    return LLVM::LoadOp::create(b, loc, b.getI32Type(), address);
  }

  SymbolTable &kernelSymbols;
  const llvm::StringMap<NumberedCode> &kernels;
  /// The parameters, each in 8 bytes; their addresses; three sizes of a grid;
  /// the first error; what the library said last: 0 if it did the product.
  Value values, addresses, grid, status, library;
  /// Functions of the runtime.
  Value launchKernel, runProduct;
};

struct LowerToNvidia : public qwen::impl::LowerToNvidiaBase<LowerToNvidia> {
  using LowerToNvidiaBase::LowerToNvidiaBase;
  void runOnOperation() override;
};

} // namespace

void GpuEntryEmitter::emitPrologue() {
  int64_t count = maxSlots();
  values = allocate(count);
  addresses = allocate(count);
  grid = allocate(2);
  status = allocate(1);
  for (int64_t i = 0; i < count; ++i)
    LLVM::StoreOp::create(b, loc, slot(values, i), slot(addresses, i));
  LLVM::StoreOp::create(b, loc, i32(0), status);
  library = allocate(1);
  launchKernel = loadField(ptr, api, kApiLaunch);
  runProduct = loadField(ptr, api, kApiProduct);
}

Value GpuEntryEmitter::emitProduct(int64_t product,
                                   const Arguments &arguments) {
  Type i32Type = b.getI32Type();
  auto signature =
      LLVM::LLVMFunctionType::get(i32Type, {ptr, i32Type, i64, ptr});
  Value code = LLVM::CallOp::create(b, loc, signature,
                                    ValueRange{runProduct, ctx, i32(product),
                                               arguments.rows, addresses})
                   .getResult();
  LLVM::StoreOp::create(b, loc, code, library);
  Value isAbsent = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, code,
                                         i32(QRT_NO_LIBRARY));
  LLVM::StoreOp::create(
      b, loc, arith::SelectOp::create(b, loc, isAbsent, i32(0), code), status);
  return isAbsent;
}

void GpuEntryEmitter::emitLaunch(kernel::LaunchOp launch,
                                 const Arguments &arguments) {
  auto callee = kernelSymbols.lookup<kernel::FuncOp>(launch.getCallee());
  int64_t next = 0;
  auto store = [&](Value value) {
    LLVM::StoreOp::create(b, loc, value, slot(values, next++));
  };
  llvm::for_each(arguments.operands, store);
  for (auto [i, result] : llvm::enumerate(arguments.results))
    if (callee.getInplaceArgument(i) < 0)
      store(result);
  for (Value value : {arguments.workspace, arguments.batch, arguments.sequence,
                      arguments.rows})
    store(value);

  const NumberedCode &code = kernels.find(launch.getCallee())->second;
  Type i32Type = b.getI32Type();
  auto signature =
      LLVM::LLVMFunctionType::get(i32Type, {ptr, i32Type, ptr, ptr});
  if (code.product >= 0)
    LLVM::StoreOp::create(b, loc, i32(QRT_NO_LIBRARY), library);
  for (auto [i, each] : llvm::enumerate(code.launches)) {
    SmallVector<Value> sizes;
    for (AffineMap map : each.grid)
      sizes.push_back(
          arith::TruncIOp::create(b, loc, i32Type, evaluate(map, arguments)));
    Value isFine = isZero(load(status));
    if (each.followsLibrary)
      isFine = arith::AndIOp::create(b, loc, isFine, isZero(load(library)));
    // Of several kernels for one thing the extents choose by empty grids.
    for (auto [map, size] : llvm::zip(each.grid, sizes))
      if (!map.isConstant())
        isFine = arith::AndIOp::create(
            b, loc, isFine,
            arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, size,
                                  i32(0)));
    OpBuilder::InsertionGuard guard(b);
    auto enterIf = [&](Value condition) {
      auto branch =
          scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
      b.setInsertionPoint(branch.thenBlock()->getTerminator());
    };
    enterIf(isFine);
    if (each.library)
      enterIf(emitProduct(code.product, arguments));
    for (auto [dim, size] : llvm::enumerate(sizes))
      LLVM::StoreOp::create(
          b, loc, size,
          LLVM::GEPOp::create(
              b, loc, ptr, i32Type, grid,
              ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(static_cast<int32_t>(dim))}));
    auto call = LLVM::CallOp::create(
        b, loc, signature,
        ValueRange{launchKernel, ctx, i32(code.first + i), grid, addresses});
    LLVM::StoreOp::create(b, loc, call.getResult(), status);
  }
}

/// `file.yaml:line:col` of the op that a kernel was made of; empty if unknown.
static std::string describe(Location loc) {
  std::string place;
  loc->walk([&](Location part) {
    auto file = dyn_cast<FileLineColLoc>(part);
    if (!file)
      return WalkResult::advance();
    place = (file.getFilename().strref() + ":" + Twine(file.getLine()) + ":" +
             Twine(file.getColumn()))
                .str();
    return WalkResult::interrupt();
  });
  return place;
}

/// What the module's table says of a kernel: qrt_kernel, and its location.
static DictionaryAttr describe(Builder &b, const nvidia::Launch &launch,
                               gpu::GPUModuleOp kernels, Location loc) {
  auto function = kernels.lookupSymbol<LLVM::LLVMFuncOp>(launch.symbol);
  return b.getDictionaryAttr(
      {b.getNamedAttr("location", b.getStringAttr(describe(loc))),
       b.getNamedAttr("name", b.getStringAttr(launch.symbol)),
       b.getNamedAttr("params",
                      b.getI64IntegerAttr(function.getNumArguments())),
       b.getNamedAttr("shared", b.getI64IntegerAttr(launch.sharedBytes)),
       b.getNamedAttr("threads", b.getI64IntegerAttr(launch.threads))});
}

void LowerToNvidia::runOnOperation() {
  ModuleOp module = getOperation();
  SmallVector<func::FuncOp> entries;
  for (auto func : module.getOps<func::FuncOp>())
    if (func->hasAttr(entry::kEntry))
      entries.push_back(func);
  SmallVector<kernel::FuncOp> kernelFuncs(module.getOps<kernel::FuncOp>());

  OpBuilder b(module.getBodyRegion());
  b.setInsertionPointToEnd(module.getBody());
  auto kernelModule = gpu::GPUModuleOp::create(b, module.getLoc(), kKernels);
  nvidia::NvidiaTarget nvidiaTarget;
  nvidiaTarget.precise = precise;
  llvm::StringMap<NumberedCode> kernels;
  SmallVector<Attribute> table, products;
  bool failed = false;
  for (kernel::FuncOp kernel : kernelFuncs) {
    FailureOr<nvidia::KernelCode> code =
        nvidia::emitKernel(kernel, nvidiaTarget, kernelModule);
    // Every kernel that cannot be made is named, not the first alone.
    if (mlir::failed(code)) {
      failed = true;
      continue;
    }
    int64_t first = table.size(), product = -1;
    for (const nvidia::Launch &launch : *code) {
      if (launch.library) {
        product = products.size();
        qrt_product row = *launch.library;
        row.kernel = table.size();
        products.push_back(productAttr(&getContext(), row));
      }
      table.push_back(describe(b, launch, kernelModule, kernel.getLoc()));
    }
    kernels[kernel.getSymName()] = {std::move(*code), first, product};
  }
  if (failed)
    return signalPassFailure();
  SymbolTable symbols(module);
  for (func::FuncOp entry : entries)
    GpuEntryEmitter(entry, module, symbols, symbols, kernels)
        .emit(entrySymbol(entry.getSymName(), target));
  for (kernel::FuncOp kernel : kernelFuncs)
    kernel.erase();
  for (func::FuncOp entry : entries)
    entry.erase();
  for (auto param : llvm::make_early_inc_range(module.getOps<ParamOp>()))
    param.erase();
  module->setAttr(kKernelTable, b.getArrayAttr(table));
  module->setAttr(kProductTable, b.getArrayAttr(products));
}
