//===- PtxTest.cpp - PTX of GPU kernels -----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the code of memory-bound kernels consists of: wide accesses, few
// exchanges, no stack. That it computes the right thing is tested by the
// simulator.
//
//===----------------------------------------------------------------------===//

#include "gtest/gtest.h"

#include "compiler/Codegen/Passes.h"
#include "compiler/Codegen/Targets.h"
#include "compiler/Module/GpuImages.h"
#include "compiler/Module/LowerToLLVM.h"
#include "compiler/Module/Ptxas.h"
#include "compiler/Pipeline/Pipeline.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;
using namespace qwen;

namespace {
/// PTX of the kernels of a module's text.
class Ptx {
public:
  explicit Ptx(const std::string &kernels, const char *arch = "sm_90a") {
    DialectRegistry registry;
    registerQwenDialects(registry);
    MLIRContext context(registry);
    context.loadAllAvailableDialects();
    auto module = parseSourceString<ModuleOp>(kernels, &context);
    if (!module)
      return;
    PassManager pm(&context, ModuleOp::getOperationName());
    pm.addPass(createConfigureNvidiaKernels());
    pm.addPass(createLowerToNvidia());
    pm.addPass(createVerifyGpuKernels());
    buildLowerToLLVM(pm);
    if (failed(pm.run(*module)))
      return;
    auto emitted = emitPtx(module->lookupSymbol<gpu::GPUModuleOp>(kKernels),
                           *parseGpuArch(arch));
    if (emitted)
      text = *emitted;
    else
      error = llvm::toString(emitted.takeError());
  }

  /// How often `what` occurs.
  int count(const std::string &what) const {
    int found = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at)
      ++found;
    return found;
  }

  std::string text, error;
};
} // namespace

static std::string rmsNorm(const std::string &width,
                           const std::string &element = "bf16") {
  std::string x = "tensor<?x" + width + "x" + element + ">";
  std::string f = "tensor<?x" + width + "xf32>", w = "tensor<" + width + "x";
  std::string widen = element == "f32" ? "arith.addf %x, %x : " + x
                                       : "arith.extf %x : " + x + " to " + f;
  std::string narrow = element == "f32" ? "arith.addf %n, %n : " + f
                                        : "arith.truncf %n : " + f + " to " + x;
  return "kernel.func rowwise @rms_norm(%x: " + x + ", %w: " + w + "f32>) -> " +
         x + " {\n %0 = " + widen + "\n %1 = arith.mulf %0, %0 : " + f +
         "\n %2 = kernel.reduce add %1 dims [1] : " + f +
         " -> tensor<?xf32>\n %3 = math.rsqrt %2 : tensor<?xf32>\n"
         " %4 = kernel.broadcast %3 dims [0] : tensor<?xf32> -> " +
         f + "\n %5 = arith.mulf %0, %4 : " + f +
         "\n %6 = kernel.broadcast %w dims [1] : " + w + "f32> -> " + f +
         "\n %n = arith.mulf %5, %6 : " + f + "\n %y = " + narrow +
         "\n kernel.return %y : " + x + "\n}\n";
}

TEST(Ptx, ARowOfAWarpIsReadOnce) {
  Ptx ptx(rmsNorm("1024"));
  ASSERT_EQ(ptx.error, "");
  // 32 threads with four pieces of 16 bytes; the weights are twice as wide.
  EXPECT_EQ(ptx.count("ld.global.nc.v4.b32"), 4 + 8) << ptx.text;
  EXPECT_EQ(ptx.count("st.global.v4.b32"), 4);
  EXPECT_EQ(ptx.count("ld.global"), 4 + 8);
  EXPECT_EQ(ptx.count("shfl.sync.bfly"), 5);
  EXPECT_EQ(ptx.count("bar.sync"), 0);
  EXPECT_EQ(ptx.count("rsqrt.approx"), 1);
  EXPECT_EQ(ptx.count("cvt.rn.bf16x2"), 16);
  EXPECT_EQ(ptx.count(".local"), 0);
}

TEST(Ptx, AWideRowTakesABlockAndOneBarrier) {
  Ptx ptx(rmsNorm("4096"));
  ASSERT_EQ(ptx.error, "");
  EXPECT_NE(ptx.text.find(".maxntid 128"), std::string::npos) << ptx.text;
  EXPECT_EQ(ptx.count("ld.global.nc.v4.b32"), 4 + 8);
  EXPECT_EQ(ptx.count("bar.sync") + ptx.count("barrier.sync"), 1);
}

TEST(Ptx, OddRowsAreReadAsTheyAreAligned) {
  // 70 numbers of 16 bits: rows begin at multiples of 4 bytes.
  Ptx even(rmsNorm("70"));
  ASSERT_EQ(even.error, "");
  EXPECT_EQ(even.count(".v4"), 0) << even.text;
  EXPECT_GT(even.count("ld.global.nc.b32"), 0);
  Ptx odd(rmsNorm("37", "f32"));
  ASSERT_EQ(odd.error, "");
  EXPECT_EQ(odd.count(".v2") + odd.count(".v4"), 0) << odd.text;
}

TEST(Ptx, ResultsInF32AreExact) {
  Ptx ptx(rmsNorm("64", "f32"));
  ASSERT_EQ(ptx.error, "");
  EXPECT_EQ(ptx.count(".approx"), 0) << ptx.text;
  EXPECT_EQ(ptx.count("sqrt.rn.f32"), 1);
  EXPECT_EQ(ptx.count(".ftz"), 0);
}

TEST(Ptx, NoMultiplicationIsFusedThatTheIrRounds) {
  Ptx ptx("kernel.func rowwise @f(%x: tensor<?x64xf32>, %y: tensor<?x64xf32>)"
          " -> tensor<?x64xf32> {\n"
          "  %0 = arith.mulf %x, %x : tensor<?x64xf32>\n"
          "  %1 = arith.addf %0, %y : tensor<?x64xf32>\n"
          "  kernel.return %1 : tensor<?x64xf32>\n}\n");
  ASSERT_EQ(ptx.error, "");
  EXPECT_EQ(ptx.count("fma"), 0) << ptx.text;
  EXPECT_GT(ptx.count("add.rn.f32"), 0);
}

TEST(Ptx, RopeTablesNeedNoLibrary) {
  Ptx ptx("kernel.func rowwise @f(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {\n"
          "  %0 = math.cos %x : tensor<?x8xf32>\n"
          "  %1 = math.sin %0 : tensor<?x8xf32>\n"
          "  kernel.return %1 : tensor<?x8xf32>\n}\n");
  ASSERT_EQ(ptx.error, "");
  EXPECT_EQ(ptx.count(".extern"), 0) << ptx.text;
}

TEST(Ptx, BothArchitectures) {
  EXPECT_NE(Ptx(rmsNorm("64"), "sm_80").text.find(".target sm_80"),
            std::string::npos);
  EXPECT_NE(Ptx(rmsNorm("64")).text.find(".target sm_90a"), std::string::npos);
}

TEST(GpuArch, Names) {
  EXPECT_EQ(parseGpuArch("sm_90a")->name(), "sm_90a");
  EXPECT_EQ(parseGpuArch("sm_80")->number, 80u);
  for (const char *name : {"sm_75", "sm_", "90a", "sm_80a", "sm_9x", ""})
    EXPECT_FALSE(parseGpuArch(name)) << name;
}

TEST(Ptxas, AcceptsWithoutSpills) {
  std::optional<std::string> program = findPtxas();
  if (!program)
    GTEST_SKIP() << "no ptxas";
  for (const char *width : {"37", "70", "128", "1024", "3584", "8192"}) {
    auto result = runPtxas(*program, Ptx(rmsNorm(width)).text, "sm_90a", 1);
    ASSERT_TRUE(static_cast<bool>(result))
        << llvm::toString(result.takeError());
    EXPECT_TRUE(result->findings.empty())
        << width << ": " << result->findings.front().message;
    EXPECT_FALSE(result->bytes.empty());
  }
}

TEST(Ptxas, RefusalIsAnError) {
  std::optional<std::string> program = findPtxas();
  if (!program)
    GTEST_SKIP() << "no ptxas";
  auto result = runPtxas(*program, "no PTX", "sm_90a", 1);
  ASSERT_FALSE(static_cast<bool>(result));
  EXPECT_NE(llvm::toString(result.takeError()).find("[Q2402]"),
            std::string::npos);
}

TEST(Ptxas, BlocksAtOnce) {
  std::string ptx = ".visible .entry a$0(\n)\n.maxntid 32\n{\n}\n"
                    ".visible .entry b$0(\n)\n.maxntid 64\n"
                    ".minnctapersm 1\n{\n}\n";
  std::string more = withBlocksAtOnce(ptx, "a$0", 2);
  EXPECT_EQ(more, ".visible .entry a$0(\n)\n.maxntid 32\n"
                  ".minnctapersm 2\n{\n}\n"
                  ".visible .entry b$0(\n)\n.maxntid 64\n"
                  ".minnctapersm 1\n{\n}\n");
  EXPECT_EQ(withBlocksAtOnce(more, "a$0", 0), ptx);
  EXPECT_EQ(withBlocksAtOnce(ptx, "b$0", 0),
            ".visible .entry a$0(\n)\n.maxntid 32\n{\n}\n"
            ".visible .entry b$0(\n)\n.maxntid 64\n{\n}\n");
  EXPECT_EQ(withBlocksAtOnce(ptx, "c$0", 4), ptx);
}

TEST(Ptxas, Log) {
  std::vector<PtxasFinding> findings = readPtxasLog(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function 'a$0' for 'sm_90a'\n"
      "ptxas info    : Function properties for a$0\n"
      "    8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads\n"
      "ptxas info    : Used 255 registers\n"
      "ptxas info    : Compiling entry function 'b$0' for 'sm_90a'\n"
      "ptxas info    : Function properties for b$0\n"
      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Function properties for c$0\n"
      "    32 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async "
      "instructions are serialized due to x in the function 'd$0'\n",
      "sm_90a");
  ASSERT_EQ(findings.size(), 3u);
  EXPECT_EQ(findings[0].kernel, "a$0");
  EXPECT_EQ(findings[0].message,
            "registers spill, 12 bytes stored and 16 loaded");
  EXPECT_EQ(findings[1].kernel, "c$0");
  EXPECT_EQ(findings[1].message, "it needs a stack of 32 bytes");
  EXPECT_EQ(findings[2].kernel, "d$0");
  EXPECT_EQ(findings[2].arch, "sm_90a");
}
