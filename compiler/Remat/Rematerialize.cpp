//===- Rematerialize.cpp - Which saved values are recomputed --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Remat/Passes.h"
#include "compiler/Remat/Recompute.h"

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

int64_t qwen::savedBytes(ModuleOp module, StringRef function) {
  auto totals = module->getAttrOfType<DictionaryAttr>(kSavedBytesAttr);
  auto total = totals ? totals.getAs<IntegerAttr>(function) : IntegerAttr();
  return total ? total.getInt() : 0;
}

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
  using RematerializeBase::RematerializeBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    for (func::FuncOp function : module.getOps<func::FuncOp>())
      if (this->savedBytes >= 0)
        recompute(function);
    DictionaryAttr totals =
        measureSavedBytes(module, [&](func::FuncOp function, OpResult saved) {
          ++numSaved;
          bytesSaved += tensorBytes(saved.getType());
          explainSaved(function, saved);
        });
    module->setAttr(kSavedBytesAttr, totals);
  }

  /// Chooses until what `function` saves is within the limit.
  void recompute(func::FuncOp function) {
    int64_t total = 0;
    SmallVector<LayersOp> loops;
    for (LayersOp layers : function.getOps<LayersOp>()) {
      // A reverse loop saves nothing; it is replaced with its forward loop.
      if (!layers.getStackedResults().empty())
        loops.push_back(layers);
      for (OpResult saved : layers.getStackedResults())
        total += tensorBytes(saved.getType());
    }
    for (LayersOp layers : loops) {
      std::optional<RecomputePlan> plan = RecomputePlan::create(layers);
      if (!plan || total <= savedBytes)
        continue;
      while (total > savedBytes) {
        SavedValue *value = plan->cheapest();
        if (!value)
          break;
        plan->choose(*value);
        total -= value->bytes;
        ++numRecomputed;
        explainRecomputed(function, *value);
      }
      plan->apply();
    }
  }

  static std::string describe(Value value) {
    if (Operation *op = value.getDefiningOp())
      return op->getName().getStringRef().str();
    return "an argument of the layer";
  }

  static remark::RemarkOpts options(StringRef name, func::FuncOp function) {
    return remark::RemarkOpts::name(name).category("remat").function(
        function.getName());
  }

  /// Remarks stand where the value is computed, not at the loop.
  static void explainSaved(func::FuncOp function, OpResult saved) {
    auto layers = cast<LayersOp>(saved.getOwner());
    auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
    unsigned index = saved.getResultNumber() - layers.getCarried().size();
    Value value = yield.getStacked()[index];
    remark::analysis(value.getLoc(), options("saved", function))
        << remark::add("keeps the result of {0} for the backward pass",
                       describe(value))
        << remark::metric("Bytes", tensorBytes(saved.getType()));
  }

  static void explainRecomputed(func::FuncOp function,
                                const SavedValue &saved) {
    remark::passed(saved.value.getLoc(), options("recomputed", function))
        << remark::add("recomputes the result of {0} in the backward pass",
                       describe(saved.value))
        << remark::metric("Bytes", saved.bytes)
        << remark::metric("Flops", saved.flops);
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
