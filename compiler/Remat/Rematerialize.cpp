//===- Rematerialize.cpp - Which saved values are recomputed --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Remat/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"

namespace qwen {
#define GEN_PASS_DEF_REMATERIALIZE
#define GEN_PASS_DEF_VERIFYREMAT
#include "compiler/Remat/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

static constexpr llvm::StringLiteral kSavedBytesAttr = "qwen.saved_bytes";

/// Bytes of all stacked results, for each function that has some.
static DictionaryAttr
measureSavedBytes(ModuleOp module,
                  llvm::function_ref<void(func::FuncOp, OpResult)> visit) {
  Builder builder(module.getContext());
  SmallVector<NamedAttribute> totals;
  for (func::FuncOp function : module.getOps<func::FuncOp>()) {
    int64_t total = 0;
    function.walk([&](LayersOp layers) {
      for (OpResult saved : layers.getStackedResults()) {
        total += tensorBytes(saved.getType());
        visit(function, saved);
      }
    });
    if (total)
      totals.push_back(builder.getNamedAttr(function.getName(),
                                            builder.getI64IntegerAttr(total)));
  }
  return builder.getDictionaryAttr(totals);
}

namespace {
struct Rematerialize : qwen::impl::RematerializeBase<Rematerialize> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    DictionaryAttr totals =
        measureSavedBytes(module, [&](func::FuncOp function, OpResult saved) {
          ++numSaved;
          bytesSaved += tensorBytes(saved.getType());
          explain(function, saved);
        });
    module->setAttr(kSavedBytesAttr, totals);
  }

  /// The remark stands where the value is computed, not at the loop.
  void explain(func::FuncOp function, OpResult saved) {
    auto layers = cast<LayersOp>(saved.getOwner());
    auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
    unsigned index = saved.getResultNumber() - layers.getCarried().size();
    Value value = yield.getStacked()[index];
    std::string what = "an argument of the layer";
    if (Operation *op = value.getDefiningOp())
      what = op->getName().getStringRef().str();
    remark::analysis(
        value.getLoc(),
        remark::RemarkOpts::name("saved").category("remat").function(
            function.getName()))
        << remark::add("keeps the result of {0} for the backward pass", what)
        << remark::metric("Bytes", tensorBytes(saved.getType()));
  }
};

struct VerifyRemat : qwen::impl::VerifyRematBase<VerifyRemat> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    DictionaryAttr expected =
        measureSavedBytes(module, [](func::FuncOp, OpResult) {});
    auto actual = module->getAttrOfType<DictionaryAttr>(kSavedBytesAttr);
    if (!actual || actual != expected) {
      InFlightDiagnostic error =
          module.emitError("expected qwen.saved_bytes = ")
          << expected << ", got ";
      if (actual)
        error << actual;
      else
        error << "nothing";
      signalPassFailure();
    }
    markAllAnalysesPreserved();
  }
};
} // namespace
