//===- ImporterTest.cpp - Models as qwen ops ------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Importer.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "gtest/gtest.h"

using namespace qwen;
using namespace mlir;

namespace {

class Importer : public ::testing::Test {
protected:
  OwningOpRef<ModuleOp> import(const std::string &preset,
                               std::vector<std::string> overrides = {},
                               ImportOptions options = {}) {
    llvm::Expected<ModelSpec> spec =
        loadModelFromString("extends: " + preset + "\n", "x.yaml", {overrides});
    if (!spec) {
      ADD_FAILURE() << llvm::toString(spec.takeError());
      return {};
    }
    FailureOr<OwningOpRef<ModuleOp>> module =
        importModel(context, *spec, options);
    if (failed(module)) {
      ADD_FAILURE() << preset << " does not verify";
      return {};
    }
    return std::move(*module);
  }

  static std::string print(ModuleOp module, bool locations = false) {
    std::string text;
    llvm::raw_string_ostream os(text);
    OpPrintingFlags flags;
    flags.enableDebugInfo(locations);
    module.print(os, flags);
    return text;
  }

  template <typename Op> static unsigned count(Operation *op) {
    unsigned n = 0;
    op->walk([&](Op) { ++n; });
    return n;
  }

  MLIRContext context;
};

} // namespace

TEST_F(Importer, EveryPreset) {
  std::error_code ec;
  for (llvm::sys::fs::directory_iterator it(QWEN_MODELS_DIR, ec), end;
       it != end && !ec; it.increment(ec)) {
    if (llvm::sys::path::extension(it->path()) != ".yaml")
      continue;
    std::string name = llvm::sys::path::stem(it->path()).str();
    OwningOpRef<ModuleOp> module = import(name);
    ASSERT_TRUE(module);
    for (const char *entry : {"eval_loss", "logits", "prefill", "decode"})
      EXPECT_TRUE(module->lookupSymbol<func::FuncOp>(entry)) << name;
    // Rolled: each entry has one loop, whatever the number of layers.
    EXPECT_EQ(count<LayersOp>(*module), 4u) << name;
    EXPECT_LT(
        std::distance(module->getBody()->begin(), module->getBody()->end()),
        50);
  }
}

TEST_F(Importer, EntriesAreAsAsked) {
  OwningOpRef<ModuleOp> train = import("tiny", {}, {true, false});
  EXPECT_TRUE(train->lookupSymbol("eval_loss"));
  EXPECT_FALSE(train->lookupSymbol("decode"));
  OwningOpRef<ModuleOp> infer = import("tiny", {}, {false, true});
  EXPECT_FALSE(infer->lookupSymbol("eval_loss"));
  EXPECT_TRUE(infer->lookupSymbol("logits"));
}

TEST_F(Importer, Signatures) {
  OwningOpRef<ModuleOp> module =
      import("tiny", {"train.batch=3", "train.sequence=32", "infer.batch=2",
                      "infer.context=128", "infer.prefill=16", "dtype=bf16"});
  auto type = [&](StringRef name) {
    std::string text;
    llvm::raw_string_ostream(text)
        << module->lookupSymbol<func::FuncOp>(name).getFunctionType();
    return text;
  };
  EXPECT_EQ(type("eval_loss"),
            "(tensor<3x32xi32>, tensor<3x32xi32>, tensor<3x32xi32>) -> "
            "(tensor<f32>, tensor<i32>, tensor<i32>)");
  EXPECT_EQ(type("logits"),
            "(tensor<3x128xi32>, tensor<3x128xi32>) -> tensor<3x128x1024xf32>");
  EXPECT_EQ(type("prefill"),
            "(tensor<2x16xi32>, tensor<2xi32>, tensor<2xi32>, "
            "tensor<2x2x2x128x32xbf16>, tensor<2x2x2x128x32xbf16>) -> "
            "(tensor<2x1024xf32>, tensor<2x2x2x128x32xbf16>, "
            "tensor<2x2x2x128x32xbf16>)");
  auto decode = module->lookupSymbol<func::FuncOp>("decode");
  EXPECT_EQ(decode.getArgAttrOfType<StringAttr>(3, entry::kName).str(), "k");
  EXPECT_EQ(decode.getArgAttrOfType<StringAttr>(3, entry::kRole).str(),
            "cache");
  EXPECT_EQ(decode.getResultAttrOfType<IntegerAttr>(2, entry::kAlias).getInt(),
            4);
  EXPECT_EQ(count<LastTokenOp>(*module), 1u);
  EXPECT_EQ(count<CachedAttentionOp>(*module), 2u);
  EXPECT_EQ(count<KvAppendOp>(*module), 4u);
}

TEST_F(Importer, SizeDoesNotDependOnDepth) {
  auto ops = [&](const char *layers) {
    OwningOpRef<ModuleOp> module = import("qwen3-0.6b", {layers});
    return count<Operation *>(*module);
  };
  EXPECT_EQ(ops("dims.layers=28"), ops("dims.layers=56"));
}

TEST_F(Importer, PlacesAreInTheModelFileWithoutFolders) {
  OwningOpRef<ModuleOp> module = import("tiny");
  module->walk([&](Operation *op) {
    auto loc = op->getLoc()->findInstanceOf<FileLineColRange>();
    ASSERT_TRUE(loc) << op->getName().getStringRef().str();
    EXPECT_EQ(loc.getFilename().getValue().find('/'), StringRef::npos);
    EXPECT_TRUE(loc.getFilename().getValue().ends_with(".yaml"));
    EXPECT_GT(loc.getStartLine(), 0u);
  });
}

TEST_F(Importer, LogitsAreNotRounded) {
  OwningOpRef<ModuleOp> module = import("nanochat", {"dims.depth=2"});
  module->walk([&](CrossEntropyOp op) {
    EXPECT_TRUE(op.getLogits().getDefiningOp<SoftcapOp>());
    EXPECT_TRUE(cast<RankedTensorType>(op.getLogits().getType())
                    .getElementType()
                    .isF32());
  });
  EXPECT_EQ(count<CrossEntropyOp>(*module), 1u);
  EXPECT_NE(print(*module).find("qwen.rope inverse"), std::string::npos);
}

TEST_F(Importer, TwiceTheSame) {
  EXPECT_EQ(print(*import("gpt2"), true), print(*import("gpt2"), true));
}
