//===- ProductsTest.cpp - Tests of products by a double of cuBLASLt -------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/Products.h"
#include "test/unit/Cuda/FakeDriver.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <gtest/gtest.h>

using namespace qrt;
using namespace qrt::cuda;

namespace {

constexpr uint64_t kWorkspace = 4096;

/// Numbers that bf16 holds exactly.
float number(int64_t i, int64_t salt) {
  return float((i * 37 + salt * 11) % 17 - 8) / 4;
}

uint16_t toBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float fromBf16(uint16_t half) {
  uint32_t bits = uint32_t(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

class ProductsTest : public testing::Test {
protected:
  void SetUp() override {
    fakeCudaReset();
    setenv("QWEN_CUBLASLT", FAKE_CUBLASLT, 1);
  }
  void TearDown() override {
    products.reset();
    for (CUdeviceptr address : allocated)
      driver->memFree(address);
    if (stream)
      driver->streamDestroy(stream);
    if (driver)
      driver->contextRelease(device);
    allocated.clear();
    stream = nullptr;
    driver.reset();
    EXPECT_EQ(fakeCudaViolations(), "");
    unsetenv("QWEN_CUBLASLT");
    unsetenv("QWEN_CUBLASLT_TUNING");
    unsetenv("FAKE_CUDA");
  }

  void open(const char *options = "") {
    setenv("FAKE_CUDA", options, 1);
    auto opened = Driver::open(FAKE_CUDA_DRIVER);
    ASSERT_TRUE(opened) << opened.error().str();
    driver = *opened;
    CUcontext context;
    driver->deviceGet(&device, 0);
    driver->contextRetain(&context, device);
    driver->contextSetCurrent(context);
    driver->streamCreate(&stream, kNonBlocking);
    std::string reason;
    auto library = CublasLt::open(reason);
    ASSERT_TRUE(library && *library) << reason;
    auto created = Products::create(*library, driver, stream, "a GPU");
    ASSERT_TRUE(created) << created.error().str();
    products = std::move(*created);
  }

  /// `count` numbers on the device; `offset` bytes behind an aligned address.
  CUdeviceptr matrix(int64_t count, uint32_t dtype, int64_t salt,
                     uint64_t offset = 0) {
    CUdeviceptr address = 0;
    driver->memAlloc(&address, count * 4 + offset + 16);
    allocated.push_back(address);
    address += offset;
    for (int64_t i = 0; i < count; ++i)
      write(address, dtype, i, number(i, salt));
    return address;
  }
  static void write(CUdeviceptr address, uint32_t dtype, int64_t i,
                    float value) {
    if (dtype == QRT_F32)
      std::memcpy(fakeCudaHost(address + 4 * i, 4), &value, 4);
    uint16_t half = toBf16(value);
    if (dtype == QRT_BF16)
      std::memcpy(fakeCudaHost(address + 2 * i, 2), &half, 2);
  }
  static float read(CUdeviceptr address, uint32_t dtype, int64_t i) {
    float value;
    uint16_t half;
    if (dtype == QRT_F32) {
      std::memcpy(&value, fakeCudaHost(address + 4 * i, 4), 4);
      return value;
    }
    std::memcpy(&half, fakeCudaHost(address + 2 * i, 2), 2);
    return fromBf16(half);
  }

  Expected<bool> run(const qrt_product &product, int64_t rows,
                     std::vector<CUdeviceptr> values, bool isCaptured = false) {
    std::vector<void *> params;
    for (CUdeviceptr &value : values)
      params.push_back(&value);
    return products->run(product, rows, params.data(), isCaptured);
  }

  std::shared_ptr<const Driver> driver;
  CUdevice device = 0;
  CUstream stream = nullptr;
  std::unique_ptr<Products> products;
  std::vector<CUdeviceptr> allocated;
};

/// left, right, addend, bias, result and workspace are parameters 0 to 5.
qrt_product makeProduct(int64_t m, int64_t n, int64_t k, uint32_t operands,
                        uint32_t result) {
  qrt_product product{};
  product.operand_dtype = operands;
  product.result_dtype = result;
  product.left = 0;
  product.right = 1;
  product.addend = product.bias = -1;
  product.result = 4;
  product.workspace = 5;
  product.m = m;
  product.n = n;
  product.k = k;
  product.workspace_bytes = kWorkspace;
  return product;
}

void expectError(const Error &error, const std::vector<std::string> &parts) {
  EXPECT_EQ(error.code, 6053) << error.str();
  for (const std::string &part : parts)
    EXPECT_NE(error.str().find(part), std::string::npos) << error.str();
}

TEST_F(ProductsTest, EveryFormGivesTheProduct) {
  open();
  constexpr int64_t n = 24, k = 40;
  for (int form = 0; form < 64; ++form)
    for (int64_t m : {5, 16}) {
      bool isWeightGradient = form & 1, hasAddend = form & 4,
           hasBias = form & 8;
      uint32_t operands = form & 16 ? QRT_BF16 : QRT_F32;
      uint32_t result = form & 32 ? QRT_BF16 : QRT_F32;
      if (operands == QRT_F32 && result == QRT_BF16)
        continue;
      // Rows are those of the result, or of both operands.
      int64_t outer = isWeightGradient ? 8 : m;
      int64_t inner = isWeightGradient ? m : k;
      qrt_product product =
          makeProduct(isWeightGradient ? outer : 0, n, isWeightGradient ? 0 : k,
                      operands, result);
      product.left_transposed = isWeightGradient;
      product.right_transposed = !isWeightGradient && (form & 2);
      product.addend = hasAddend ? 2 : -1;
      product.bias = hasBias ? 3 : -1;
      std::vector<CUdeviceptr> values = {
          matrix(outer * inner, operands, 1, 16),
          matrix(inner * n, operands, 2, 16),
          matrix(outer * n, result, 3, 16),
          matrix(n, result, 4, 16),
          matrix(outer * n, result, 5, 16),
          matrix(kWorkspace / 4, QRT_F32, 6, 64)};
      auto isQueued = run(product, m, values);
      ASSERT_TRUE(isQueued) << isQueued.error().str();
      EXPECT_TRUE(*isQueued);
      EXPECT_EQ(read(values[4], result, 0), number(0, 5)) << "not yet";
      ASSERT_EQ(driver->streamSynchronize(stream), kSuccess);
      for (int64_t i = 0; i < outer; ++i)
        for (int64_t j = 0; j < n; ++j) {
          double sum = hasAddend ? number(i * n + j, 3) : 0;
          sum += hasBias ? number(j, 4) : 0;
          for (int64_t r = 0; r < inner; ++r)
            sum +=
                number(product.left_transposed ? r * outer + i : i * inner + r,
                       1) *
                number(product.right_transposed ? j * inner + r : r * n + j, 2);
          double ulp = result == QRT_BF16 ? std::fabs(sum) / 256 : 0;
          ASSERT_NEAR(read(values[4], result, i * n + j), sum, ulp + 1e-4)
              << "form " << form << " at " << i << ", " << j;
        }
    }
}

TEST_F(ProductsTest, AddsUpInPlaceInAGraph) {
  open();
  qrt_product product = makeProduct(8, 16, 0, QRT_BF16, QRT_F32);
  product.left_transposed = 1;
  product.addend = product.result;
  int64_t rows = 13;
  std::vector<CUdeviceptr> values = {
      matrix(rows * 8, QRT_BF16, 1), matrix(rows * 16, QRT_BF16, 2),    0, 0,
      matrix(8 * 16, QRT_F32, 3),    matrix(kWorkspace / 4, QRT_F32, 4)};
  ASSERT_EQ(driver->beginCapture(stream, kCaptureThreadLocal), kSuccess);
  ASSERT_TRUE(run(product, rows, values));
  CUgraph graph = nullptr;
  CUgraphExec executable = nullptr;
  ASSERT_EQ(driver->endCapture(stream, &graph), kSuccess);
  ASSERT_EQ(driver->graphInstantiate(&executable, graph, 0), kSuccess);
  driver->graphDestroy(graph);
  products.reset(); // a graph needs no plan
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(driver->graphLaunch(executable, stream), kSuccess);
  ASSERT_EQ(driver->streamSynchronize(stream), kSuccess);
  driver->graphExecDestroy(executable);
  for (int64_t i = 0; i < 8 * 16; ++i) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r)
      sum += number(r * 8 + i / 16, 1) * number(r * 16 + i % 16, 2);
    EXPECT_NEAR(read(values[4], QRT_F32, i), number(i, 3) + 3 * sum, 1e-3);
  }
}

TEST_F(ProductsTest, AShapeIsPlannedOnce) {
  open();
  qrt_product product = makeProduct(0, 16, 16, QRT_F32, QRT_F32);
  std::vector<CUdeviceptr> values = {
      matrix(9 * 16, QRT_F32, 1), matrix(16 * 16, QRT_F32, 2),       0, 0,
      matrix(9 * 16, QRT_F32, 3), matrix(kWorkspace / 4, QRT_F32, 4)};
  for (int i = 0; i < 3; ++i)
    for (int64_t rows : {5, 9})
      ASSERT_TRUE(run(product, rows, values));
  ASSERT_EQ(driver->streamSynchronize(stream), kSuccess);
  EXPECT_EQ(fakeCudaCalls("cublasLtMatmulAlgoGetHeuristic"), 2);
  EXPECT_EQ(fakeCudaCalls("cublasLtMatmul"), 6);
}

TEST_F(ProductsTest, TheFastestAlgorithmIsMeasuredOnce) {
  std::string file = testing::TempDir() + "qwen-algorithms.json";
  std::string log = testing::TempDir() + "qwen-products.txt";
  std::remove(file.c_str());
  setenv("QWEN_CUBLASLT_TUNING", file.c_str(), 1);
  qrt_product product = makeProduct(0, 16, 16, QRT_F32, QRT_F32);
  product.addend = product.result;
  for (int process = 0; process < 2; ++process) {
    std::remove(log.c_str());
    open(("lt-log=" + log).c_str());
    std::vector<CUdeviceptr> values = {
        matrix(9 * 16, QRT_F32, 1), matrix(16 * 16, QRT_F32, 2),       0, 0,
        matrix(9 * 16, QRT_F32, 3), matrix(kWorkspace / 4, QRT_F32, 4)};
    ASSERT_TRUE(run(product, 9, values));
    ASSERT_EQ(driver->streamSynchronize(stream), kSuccess);
    // What was measured did not add to the result.
    double sum = number(0, 3);
    for (int64_t r = 0; r < 16; ++r)
      sum += number(r, 1) * number(r * 16, 2);
    EXPECT_NEAR(read(values[4], QRT_F32, 0), sum, 1e-4);
    // Three algorithms, once and five times each; then the file knows.
    EXPECT_EQ(fakeCudaCalls("cublasLtMatmul"), process == 0 ? 19 : 1);
    EXPECT_EQ(fakeCudaCalls("cublasLtMatmulAlgoGetHeuristic"), 1 - process);
    std::ifstream lines(log);
    std::string line, last;
    while (std::getline(lines, line))
      last = line;
    EXPECT_EQ(last, "NN 16x9x16 f32->f32 beta 1 tuned");
    TearDown();
    SetUp();
    setenv("QWEN_CUBLASLT_TUNING", file.c_str(), 1);
  }
  // Nothing may wait within a capture.
  open();
  ASSERT_TRUE(
      run(makeProduct(0, 32, 16, QRT_F32, QRT_F32), 9,
          {matrix(9 * 16, QRT_F32, 1), matrix(16 * 32, QRT_F32, 2), 0, 0,
           matrix(9 * 32, QRT_F32, 3), matrix(kWorkspace / 4, QRT_F32, 4)},
          /*isCaptured=*/true));
  EXPECT_EQ(fakeCudaCalls("cublasLtMatmul"), 1);
  ASSERT_EQ(driver->streamSynchronize(stream), kSuccess);
}

//===----------------------------------------------------------------------===//
// What can be wrong
//===----------------------------------------------------------------------===//

TEST_F(ProductsTest, WrongProductsAreRefused) {
  open();
  std::vector<CUdeviceptr> values = {
      matrix(9 * 16, QRT_F32, 1), matrix(16 * 16, QRT_F32, 2),
      matrix(9 * 16, QRT_F32, 3), matrix(16, QRT_F32, 4),
      matrix(9 * 16, QRT_F32, 5), matrix(kWorkspace / 4, QRT_F32, 6)};
  const qrt_product right = makeProduct(0, 16, 16, QRT_F32, QRT_F32);
  auto refuses = [&](const qrt_product &product,
                     const std::vector<CUdeviceptr> &values,
                     const std::string &why) {
    auto isQueued = run(product, 9, values);
    ASSERT_FALSE(isQueued) << why;
    expectError(isQueued.error(),
                {"cuBLASLt 13.0.2", "CUBLAS_STATUS_INVALID_VALUE"});
    std::string violations = fakeCudaViolations();
    EXPECT_NE(violations.find(why), std::string::npos) << violations;
  };
  qrt_product wrong[8];
  std::fill(wrong, wrong + 8, right);
  wrong[0].n = 15;
  refuses(wrong[0], values, "columns that are not aligned");
  wrong[1].operand_dtype = QRT_BF16;
  wrong[1].k = 24;
  wrong[1].n = 24;
  refuses(wrong[1], values, "is not inside of an allocation");
  wrong[2].result_dtype = QRT_BF16;
  refuses(wrong[2], values, "types of C and D");
  wrong[3].workspace_bytes = 4 * kWorkspace;
  refuses(wrong[3], values, "workspace that is not inside");
  wrong[4].result = wrong[4].left;
  refuses(wrong[4], values, "D overlaps an operand");
  wrong[5].workspace = wrong[5].right;
  refuses(wrong[5], values, "workspace");
  wrong[6].bias = 3;
  std::vector<CUdeviceptr> moved = values;
  moved[3] += 4;
  refuses(wrong[6], moved, "a bias that is not there");
  moved = values;
  moved[0] += 8;
  refuses(wrong[7], moved, "aligned to less");
  auto isQueued = run(right, 9, values);
  EXPECT_TRUE(isQueued && *isQueued);
}

TEST_F(ProductsTest, WithoutAnAlgorithmTheCallerDoesIt) {
  open("lt-none=1");
  qrt_product product = makeProduct(0, 16, 16, QRT_F32, QRT_F32);
  auto isQueued = run(product, 9, {0, 0, 0, 0, 0, 0});
  ASSERT_TRUE(isQueued) << isQueued.error().str();
  EXPECT_FALSE(*isQueued);
}

TEST_F(ProductsTest, FailuresNameTheFunction) {
  open("fail=cublasLtMatmul:13@2");
  qrt_product product = makeProduct(0, 16, 16, QRT_F32, QRT_F32);
  std::vector<CUdeviceptr> values = {
      matrix(9 * 16, QRT_F32, 1), matrix(16 * 16, QRT_F32, 2),       0, 0,
      matrix(9 * 16, QRT_F32, 3), matrix(kWorkspace / 4, QRT_F32, 4)};
  EXPECT_TRUE(run(product, 9, values));
  auto isQueued = run(product, 9, values);
  ASSERT_FALSE(isQueued);
  expectError(isQueued.error(), {"cublasLtMatmul of cuBLASLt 13.0.2 failed: "
                                 "CUBLAS_STATUS_EXECUTION_FAILED"});
}

TEST_F(ProductsTest, FilesOfAlgorithmsThatAreNone) {
  std::string file = testing::TempDir() + "qwen-no-algorithms.json";
  std::ofstream(file) << R"({"a place": {"a product": {"algorithm": [1]}}})";
  auto opened = AlgorithmFile::open(file, "a place");
  ASSERT_FALSE(opened);
  expectError(opened.error(), {file, "QWEN_CUBLASLT_TUNING"});
  std::ofstream(file) << "{";
  EXPECT_EQ(AlgorithmFile::open(file, "a place").error().code, 3005);
  auto fresh = AlgorithmFile::open("/not/here/algorithms.json", "a place");
  ASSERT_TRUE(fresh);
  EXPECT_FALSE(fresh->find("a product"));
  Status status = fresh->add("a product", {}, 1);
  ASSERT_FALSE(status);
  expectError(status.error(), {"/not/here/algorithms.json", "cannot write"});
}

TEST_F(ProductsTest, TheLibraryIsChosenByTheEnvironment) {
  std::string reason;
  setenv("QWEN_CUBLASLT", "off", 1);
  auto off = CublasLt::open(reason);
  ASSERT_TRUE(off);
  EXPECT_EQ(*off, nullptr);
  EXPECT_EQ(reason, "QWEN_CUBLASLT is off");
  setenv("QWEN_CUBLASLT", "/not/here.so", 1);
  auto missing = CublasLt::open(reason);
  ASSERT_FALSE(missing);
  expectError(missing.error(), {"QWEN_CUBLASLT", "/not/here.so"});
  setenv("QWEN_CUBLASLT", FAKE_CUDA_DRIVER, 1);
  auto other = CublasLt::open(reason);
  ASSERT_FALSE(other);
  expectError(other.error(), {"has no cublasLt", "QWEN_CUBLASLT=off"});
}

} // namespace
