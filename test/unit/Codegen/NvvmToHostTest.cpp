//===- NvvmToHostTest.cpp - Hand-written GPU kernels, executed ------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <cmath>
#include <random>

#include "gtest/gtest.h"

#include "test/unit/Codegen/KernelRunner.h"
#include "test/unit/Codegen/SimModule.h"

using namespace qwen::testing;

/// y[r, :] = x[r, :] / sqrt(mean(x[r, :]^2) + 1e-6), 64 bf16 columns, one row
/// for a block of 64 threads. BARRIER is what orders the two warps.
static std::string rmsNorm(const std::string &barrier) {
  std::string text = R"(
gpu.module @kernels {
llvm.mlir.global internal @sums() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<2 x f32>
llvm.func @rms_norm(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) attributes {nvvm.kernel, nvvm.maxntid = array<i32: 64, 1, 1>} {
  %row = nvvm.read.ptx.sreg.ctaid.x : i32
  %tid = nvvm.read.ptx.sreg.tid.x : i32
  %n = nvvm.read.ptx.sreg.ntid.x : i32
  %lane = nvvm.read.ptx.sreg.laneid : i32
  %c0 = llvm.mlir.constant(0 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c5 = llvm.mlir.constant(5 : i32) : i32
  %all = llvm.mlir.constant(-1 : i32) : i32
  %clamp = llvm.mlir.constant(31 : i32) : i32
  %scale = llvm.mlir.constant(0.015625 : f32) : f32
  %eps = llvm.mlir.constant(1.0e-6 : f32) : f32
  %base = llvm.mul %row, %n : i32
  %index = llvm.add %base, %tid : i32
  %px = llvm.getelementptr %x[%index] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
  %b = llvm.load %px : !llvm.ptr<1> -> bf16
  %v = llvm.fpext %b : bf16 to f32
  %s0 = llvm.fmul %v, %v : f32
)";
  std::string sum = "%s0";
  for (int offset : {16, 8, 4, 2, 1}) {
    std::string o = std::to_string(offset);
    text += "  %o" + o + " = llvm.mlir.constant(" + o + " : i32) : i32\n  %t" +
            o + " = nvvm.shfl.sync bfly %all, " + sum + ", %o" + o +
            ", %clamp : f32 -> f32\n  %s" + o + " = llvm.fadd " + sum + ", %t" +
            o + " : f32\n";
    sum = "%s" + o;
  }
  return text + R"(
  %warp = llvm.lshr %tid, %c5 : i32
  %sums = llvm.mlir.addressof @sums : !llvm.ptr<3>
  %mine = llvm.getelementptr %sums[%warp] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
  %first = llvm.icmp "eq" %lane, %c0 : i32
  llvm.cond_br %first, ^write, ^wait
^write:
  llvm.store %s1, %mine : f32, !llvm.ptr<3>
  llvm.br ^wait
^wait:
  )" + barrier +
         R"(
  %other = llvm.getelementptr %sums[%c1] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
  %w0 = llvm.load %sums : !llvm.ptr<3> -> f32
  %w1 = llvm.load %other : !llvm.ptr<3> -> f32
  %total = llvm.fadd %w0, %w1 : f32
  %mean = llvm.fmul %total, %scale : f32
  %m = llvm.fadd %mean, %eps : f32
  %r = llvm.call_intrinsic "llvm.nvvm.rsqrt.approx.ftz.f"(%m) : (f32) -> f32
  %z = llvm.fmul %v, %r : f32
  %zb = llvm.fptrunc %z : f32 to bf16
  %py = llvm.getelementptr %y[%index] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
  llvm.store %zb, %py : bf16, !llvm.ptr<1>
  llvm.return
}
})";
}

static std::vector<uint16_t> randomBf16(size_t count) {
  std::mt19937 generator(3);
  std::normal_distribution<float> normal;
  std::vector<uint16_t> values(count);
  for (uint16_t &value : values)
    value = toBf16(normal(generator));
  return values;
}

TEST(NvvmToHost, RmsNorm) {
  auto module = SimModule::create(rmsNorm("nvvm.barrier0"));
  ASSERT_TRUE(bool(module)) << llvm::toString(module.takeError());
  std::vector<uint16_t> x = randomBf16(5 * 64), y(5 * 64);
  void *from = x.data(), *to = y.data();
  ASSERT_EQ((*module)->launch("rms_norm", {{5, 1, 1}, 64}, {&from, &to}, 2),
            "");
  for (int row = 0; row < 5; ++row) {
    double squares = 0;
    for (int c = 0; c < 64; ++c)
      squares += std::pow(fromBf16(x[row * 64 + c]), 2);
    double factor = 1 / std::sqrt(squares / 64 + 1e-6);
    for (int c = 0; c < 64; ++c) {
      double expected = fromBf16(x[row * 64 + c]) * factor;
      ASSERT_NEAR(fromBf16(y[row * 64 + c]), expected,
                  std::fabs(expected) * 0.004);
    }
  }
}

TEST(NvvmToHost, Faults) {
  std::vector<uint16_t> x = randomBf16(64), y(64);
  void *from = x.data(), *to = y.data();
  auto run = [&](const std::string &barrier) {
    auto module = SimModule::create(rmsNorm(barrier));
    EXPECT_TRUE(bool(module)) << llvm::toString(module.takeError());
    return (*module)->launch("rms_norm", {{1, 1, 1}, 64}, {&from, &to});
  };
  EXPECT_NE(run("").find("race in shared memory at byte"), std::string::npos);
  // The second warp does not come.
  std::string fault = run("%c32 = llvm.mlir.constant(32 : i32) : i32\n"
                          "%low = llvm.icmp \"ult\" %tid, %c32 : i32\n"
                          "llvm.cond_br %low, ^low, ^out\n^out:\n"
                          "llvm.return\n^low:\nnvvm.barrier0");
  EXPECT_NE(fault.find("deadlock: 32 threads (the first is 0) wait at barrier "
                       "0 for 64 threads; 32 threads (the first is 32) have "
                       "ended"),
            std::string::npos)
      << fault;
}

/// c [16, 8] = a [16, 16] b [8, 16]^T by one warp; A and B come through shared
/// memory by cp.async and ldmatrix.
static const char kTile[] = R"(
llvm.mlir.global external @shared() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<0 x i8>
llvm.func @tile(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %c: !llvm.ptr<1>) attributes {nvvm.kernel} {
  %lane = nvvm.read.ptx.sreg.laneid : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c2 = llvm.mlir.constant(2 : i32) : i32
  %c3 = llvm.mlir.constant(3 : i32) : i32
  %c4 = llvm.mlir.constant(4 : i32) : i32
  %c7 = llvm.mlir.constant(7 : i32) : i32
  %c8 = llvm.mlir.constant(8 : i32) : i32
  %c15 = llvm.mlir.constant(15 : i32) : i32
  %c16 = llvm.mlir.constant(16 : i32) : i32
  %c256 = llvm.mlir.constant(256 : i32) : i32
  %zero = llvm.mlir.constant(0.0 : f32) : f32
  %shared = llvm.mlir.addressof @shared : !llvm.ptr<3>
  %chunk = llvm.mul %lane, %c8 : i32
  %sa = llvm.getelementptr %shared[%chunk] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, bf16
  %ga = llvm.getelementptr %a[%chunk] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
  nvvm.cp.async.shared.global %sa, %ga, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1>
  %half = llvm.and %chunk, %c7 : i32
  %isB = llvm.icmp "ult" %lane, %c16 : i32
  llvm.cond_br %isB, ^copy, ^wait
^copy:
  %bAt = llvm.add %chunk, %c256 : i32
  %sb = llvm.getelementptr %shared[%bAt] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, bf16
  %gb = llvm.getelementptr %b[%chunk] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
  nvvm.cp.async.shared.global %sb, %gb, 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1>
  llvm.br ^wait
^wait:
  nvvm.cp.async.commit.group
  nvvm.cp.async.wait.group 0
  nvvm.barrier0
  // A: rows lane % 16, columns 8 (lane / 16); B: rows lane % 8, columns 8 (lane / 8 % 2).
  %ar = llvm.and %lane, %c15 : i32
  %ah = llvm.lshr %lane, %c4 : i32
  %ar16 = llvm.mul %ar, %c16 : i32
  %ah8 = llvm.mul %ah, %c8 : i32
  %ao = llvm.add %ar16, %ah8 : i32
  %pa = llvm.getelementptr %shared[%ao] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, bf16
  %fa = nvvm.ldmatrix %pa {num = 4 : i32, layout = #nvvm.mma_layout<row>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32, i32, i32)>
  %br = llvm.and %lane, %c7 : i32
  %bh0 = llvm.lshr %lane, %c3 : i32
  %bh = llvm.and %bh0, %c1 : i32
  %br16 = llvm.mul %br, %c16 : i32
  %bh8 = llvm.mul %bh, %c8 : i32
  %bo0 = llvm.add %br16, %bh8 : i32
  %bo = llvm.add %bo0, %c256 : i32
  %pb = llvm.getelementptr %shared[%bo] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, bf16
  %fb = nvvm.ldmatrix %pb {num = 2 : i32, layout = #nvvm.mma_layout<row>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32)>
  %a0 = llvm.extractvalue %fa[0] : !llvm.struct<(i32, i32, i32, i32)>
  %a1 = llvm.extractvalue %fa[1] : !llvm.struct<(i32, i32, i32, i32)>
  %a2 = llvm.extractvalue %fa[2] : !llvm.struct<(i32, i32, i32, i32)>
  %a3 = llvm.extractvalue %fa[3] : !llvm.struct<(i32, i32, i32, i32)>
  %b0 = llvm.extractvalue %fb[0] : !llvm.struct<(i32, i32)>
  %b1 = llvm.extractvalue %fb[1] : !llvm.struct<(i32, i32)>
  %d = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b0, %b1] C[%zero, %zero, %zero, %zero] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, multiplicandAPtxType = #nvvm.mma_type<bf16>, multiplicandBPtxType = #nvvm.mma_type<bf16>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (i32, i32, f32) -> !llvm.struct<(f32, f32, f32, f32)>
  %group = llvm.lshr %lane, %c2 : i32
  %quad = llvm.and %lane, %c3 : i32
  %g8 = llvm.mul %group, %c8 : i32
  %q2 = llvm.mul %quad, %c2 : i32
  %o = llvm.add %g8, %q2 : i32
)";

TEST(NvvmToHost, TensorCores) {
  std::string text = kTile;
  for (int i = 0; i < 4; ++i) {
    std::string n = std::to_string(i);
    text += "  %d" + n + " = llvm.extractvalue %d[" + n +
            "] : !llvm.struct<(f32, f32, f32, f32)>\n  %k" + n +
            " = llvm.mlir.constant(" + std::to_string(64 * (i / 2) + i % 2) +
            " : i32) : i32\n  %o" + n + " = llvm.add %o, %k" + n +
            " : i32\n  %p" + n + " = llvm.getelementptr %c[%o" + n +
            "] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32\n  llvm.store %d" +
            n + ", %p" + n + " : f32, !llvm.ptr<1>\n";
  }
  auto module = SimModule::create(text + "  llvm.return\n}\n");
  ASSERT_TRUE(bool(module)) << llvm::toString(module.takeError());
  std::vector<uint16_t> values = randomBf16(16 * 16 + 8 * 16 + 8);
  // Aligned to 16 bytes, as device memory is.
  alignas(16) uint16_t a[256], b[128];
  std::copy(values.begin(), values.begin() + 256, a);
  std::copy(values.begin() + 256, values.begin() + 384, b);
  std::vector<float> c(128);
  void *pa = a, *pb = b, *pc = c.data();
  ASSERT_EQ((*module)->launch("tile", {{1, 1, 1}, 32, 768}, {&pa, &pb, &pc}),
            "");
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      double sum = 0;
      for (int k = 0; k < 16; ++k)
        sum += double(fromBf16(a[16 * m + k])) * fromBf16(b[16 * n + k]);
      ASSERT_NEAR(c[8 * m + n], sum, 1e-6 * (1 + std::fabs(sum)));
    }
  // Too little shared memory for B.
  EXPECT_NE((*module)
                ->launch("tile", {{1, 1, 1}, 32, 512}, {&pa, &pb, &pc})
                .find("access to 16 bytes at 512 of 512 bytes"),
            std::string::npos);
}
