//===- TargetTest.cpp - Levels, their instructions, refused kernels -------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "gtest/gtest.h"

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "compiler/Module/LowerToLLVM.h"
#include "compiler/Module/ObjectFile.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "test/unit/Codegen/KernelOracle.h"
#include "llvm-c/Disassembler.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/TargetSelect.h"

using namespace qwen;
using cpu::CpuTarget;

static llvm::StringMap<bool> features(llvm::ArrayRef<CpuTarget> targets,
                                      llvm::StringRef without = {}) {
  llvm::StringMap<bool> map;
  for (const CpuTarget &target : targets)
    for (llvm::StringRef name : target.requiredFeatures())
      map[name] = name != without;
  return map;
}

TEST(Target, LevelsByFeatureBits) {
  CpuTarget v3 = CpuTarget::get(CpuTarget::V3);
  CpuTarget v4 = CpuTarget::get(CpuTarget::V4);
  CpuTarget amx = CpuTarget::get(CpuTarget::AMX);
  EXPECT_FALSE(cpu::targetFromFeatures({}).has_value());
  EXPECT_FALSE(cpu::targetFromFeatures(features(v3, "fma")).has_value());
  EXPECT_EQ(cpu::targetFromFeatures(features(v3))->level, CpuTarget::V3);
  EXPECT_EQ(cpu::targetFromFeatures(features(v4, "avx512vl"))->level,
            CpuTarget::V3);
  EXPECT_EQ(cpu::targetFromFeatures(features(v4))->level, CpuTarget::V4);
  EXPECT_FALSE(cpu::targetFromFeatures(features(v4))->avx512bf16);
  // A machine with the bf16 instructions but no tiles.
  auto zen = cpu::targetFromFeatures(features(amx, "amx-tile"));
  EXPECT_EQ(zen->level, CpuTarget::V4);
  EXPECT_TRUE(zen->avx512bf16);
  EXPECT_EQ(cpu::targetFromFeatures(features(amx))->level, CpuTarget::AMX);
}

TEST(Target, Options) {
  EXPECT_TRUE(cpu::targetsFromOption("x86-64-v5").empty());
  ASSERT_EQ(cpu::targetsFromOption("portable").size(), 3u);
  EXPECT_EQ(cpu::targetsFromOption("portable").front().name(), "amx");
  ASSERT_EQ(cpu::targetsFromOption("x86-64-v3").size(), 1u);
  EXPECT_EQ(cpu::targetsFromOption("x86-64-v3").front().level, CpuTarget::V3);
}

namespace {
/// Parses a kernel and emits it.
struct Emitted {
  mlir::DialectRegistry registry;
  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> source, code;
  std::string error;
  bool ok = false;

  Emitted(const std::string &text, const CpuTarget &target) {
    cpu::registerCodegenDialects(registry);
    registerCodegenDialects(registry);
    context = std::make_unique<mlir::MLIRContext>(registry);
    context->loadAllAvailableDialects();
    mlir::ScopedDiagnosticHandler handler(context.get(),
                                          [&](mlir::Diagnostic &diagnostic) {
                                            error += diagnostic.str() + "\n";
                                            return mlir::success();
                                          });
    source = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
    if (!source)
      return;
    code = mlir::ModuleOp::create(mlir::UnknownLoc::get(context.get()));
    auto kernels = source->getOps<kernel::FuncOp>();
    ok = succeeded(cpu::emitKernel(*kernels.begin(), target, *code));
  }
};
} // namespace

static std::string disassemble(const ObjectBytes &object) {
  llvm::InitializeAllDisassemblers();
  auto file = llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(
      llvm::StringRef(object.data(), object.size()), "kernel"));
  if (!file)
    return llvm::toString(file.takeError());
  LLVMDisasmContextRef context =
      LLVMCreateDisasmCPUFeatures("x86_64-unknown-linux-gnu", "sapphirerapids",
                                  "", nullptr, 0, nullptr, nullptr);
  std::string text;
  for (const llvm::object::SectionRef &section : (*file)->sections()) {
    if (!section.isText())
      continue;
    auto contents = section.getContents();
    if (!contents)
      return llvm::toString(contents.takeError());
    std::vector<uint8_t> bytes(contents->begin(), contents->end());
    for (size_t at = 0; at < bytes.size();) {
      char line[256];
      size_t size =
          LLVMDisasmInstruction(context, bytes.data() + at, bytes.size() - at,
                                at, line, sizeof(line));
      text += size ? std::string(line) + "\n" : "";
      at += size ? size : 1;
    }
  }
  LLVMDisasmDispose(context);
  return text;
}

static const char *kNorm = R"(
kernel.func rowwise @norm(%x: tensor<?x96xbf16>, %w: tensor<96xbf16>)
    -> tensor<?x96xbf16> {
  %y = qwen.rms_norm %x weight %w {eps = 1.0e-6 : f64}
     : (tensor<?x96xbf16>, tensor<96xbf16>) -> tensor<?x96xbf16>
  %z = qwen.activation silu %y : tensor<?x96xbf16> -> tensor<?x96xbf16>
  kernel.return %z : tensor<?x96xbf16>
})";

TEST(Target, InstructionsOfALevel) {
  std::string text = qwen::testing::decomposeKernel(kNorm);
  for (auto level : {CpuTarget::V3, CpuTarget::V4, CpuTarget::AMX}) {
    ObjectBytes first;
    for (int repeat = 0; repeat < 2; ++repeat) {
      Emitted emitted(text, CpuTarget::get(level));
      ASSERT_TRUE(emitted.ok) << emitted.error;
      auto object = emitObject(*emitted.code);
      ASSERT_TRUE(bool(object)) << llvm::toString(object.takeError());
      if (repeat == 0)
        first = *object;
      else
        EXPECT_TRUE(first == *object) << "two compilations differ";
    }
    EXPECT_FALSE(bool(checkUndefinedSymbols({first})));
    std::string code = disassemble(first);
    auto has = [&](const char *what) {
      return code.find(what) != std::string::npos;
    };
    EXPECT_TRUE(has("ymm"));
    EXPECT_EQ(has("zmm"), level != CpuTarget::V3);
    EXPECT_EQ(has("vcvtneps2bf16"), level == CpuTarget::AMX);
  }
}

TEST(Target, RefusedKernels) {
  struct {
    const char *text, *error;
  } const cases[] = {
      {R"(kernel.func rowwise @k(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
            %y = math.ceil %x : tensor<?x8xf32>
            kernel.return %y : tensor<?x8xf32>
          })",
       "cannot hold this op: math.ceil"},
      {R"(kernel.func rowwise @k(%x: tensor<?x8x4xf32>) -> tensor<?x4xf32> {
            %y = kernel.reduce add %x dims [1]
               : tensor<?x8x4xf32> -> tensor<?x4xf32>
            kernel.return %y : tensor<?x4xf32>
          })",
       "reduces the last dimension only"},
      {R"(kernel.func rowwise @k(
              %x: tensor<?x12xf32> {kernel.inplace = 0 : i64})
              -> tensor<?x12xf32> {
            %a = kernel.slice %x from 8
               : tensor<?x12xf32> -> tensor<?x4xf32>
            %b = kernel.slice %x from 0
               : tensor<?x12xf32> -> tensor<?x8xf32>
            %y = kernel.concat %a, %b
               : tensor<?x4xf32>, tensor<?x8xf32> -> tensor<?x12xf32>
            kernel.return %y : tensor<?x12xf32>
          })",
       "cannot share memory with argument 0"},
      {R"(kernel.func rowwise @k(%x: tensor<?x8xf64>) -> tensor<?x8xf64> {
            %y = arith.addf %x, %x : tensor<?x8xf64>
            kernel.return %y : tensor<?x8xf64>
          })",
       "do not compute in f64"},
      {R"(kernel.func column_reduce @k(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
            kernel.return %x : tensor<?x8xf32>
          })",
       "no sum over its rows"},
      {R"(kernel.func scatter @k(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
            kernel.return %x : tensor<?x8xf32>
          })",
       "expected one scatter_add"},
      {R"(kernel.func block @k(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
            kernel.return %x : tensor<?x8xf32>
          })",
       "no emitter for kernel k"},
  };
  for (const auto &c : cases) {
    Emitted emitted(c.text, CpuTarget::get(CpuTarget::V3));
    EXPECT_FALSE(emitted.ok);
    EXPECT_NE(emitted.error.find(c.error), std::string::npos) << emitted.error;
  }
}
