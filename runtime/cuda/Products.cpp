//===- Products.cpp - Matrix products by cuBLASLt -------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// cuBLASLt's matrices are column-major, so what it is asked for is the
// transpose of the product, D^T = right^T left^T: its A is `right`, its B is
// `left`, and a row-major matrix as it lies is its own transpose. A bias along
// the columns of D^T is one for each column of ours.
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/Products.h"

#include <algorithm>
#include <cstring>

using namespace qrt;
using namespace qrt::cuda;

namespace {

/// Prompts have many lengths. Graphs that were captured do not need the plans.
constexpr size_t kMaxPlans = 4096;
/// Of every matrix, row and bias, by the ABI.
constexpr uint32_t kAlignment = 16;
/// Of the library's workspace.
constexpr uint64_t kWorkspaceAlignment = 256;

int dataType(uint32_t dtype) {
  return dtype == QRT_BF16 ? kCudaR16BF : kCudaR32F;
}

/// Algorithms that are measured for one product, and how often each.
constexpr int kCandidates = 8, kRepetitions = 5;

/// What is left for the library of a workspace that lies anywhere.
uint64_t alignedBytes(const qrt_product &product) {
  return product.workspace_bytes -
         std::min(product.workspace_bytes, kWorkspaceAlignment);
}

/// The address that parameter `index` holds.
void *pointer(void *const *params, int32_t index) {
  return *static_cast<void *const *>(params[index]);
}

} // namespace

/// What a plan is for, as the file of algorithms says it.
static std::string nameOf(const qrt_product &product, int64_t rows) {
  auto size = [&](int64_t extent) { return extent ? extent : rows; };
  auto type = [](uint32_t dtype) { return dtype == QRT_BF16 ? "bf16" : "f32"; };
  return fmt::format(
      "{}{} {}x{}x{} {}->{}{}{}, {} bytes",
      product.right_transposed ? 'T' : 'N', product.left_transposed ? 'T' : 'N',
      size(product.n), size(product.m), size(product.k),
      type(product.operand_dtype), type(product.result_dtype),
      product.addend >= 0 ? " + addend" : "",
      product.bias >= 0 ? " + bias" : "", product.workspace_bytes);
}

Expected<std::unique_ptr<Products>>
Products::create(std::shared_ptr<const CublasLt> library,
                 std::shared_ptr<const Driver> driver, CUstream stream,
                 const std::string &gpu) {
  std::unique_ptr<Products> products(
      new Products(std::move(library), std::move(driver), stream));
  const char *file = std::getenv("QWEN_CUBLASLT_TUNING");
  if (file && *file) {
    QRT_ASSIGN_OR_RETURN(
        products->tuning,
        AlgorithmFile::open(file, products->library->version() + ", " + gpu));
  }
  QRT_RETURN_IF_ERROR(products->check(
      products->library->create(&products->handle), "cublasLtCreate"));
  return products;
}

Products::~Products() {
  for (auto &[key, plan] : plans)
    destroy(plan);
  if (handle)
    library->destroy(handle);
}

void Products::destroy(Plan &plan) {
  for (cublasLtMatrixLayout_t layout : {plan.a, plan.b, plan.d})
    if (layout)
      library->layoutDestroy(layout);
  if (plan.operation)
    library->matmulDescDestroy(plan.operation);
}

Status Products::check(cublasStatus_t status, const char *function) const {
  if (status == kCublasSuccess)
    return Status::success();
  return makeError(6053, "", "{} of {} failed: {}", function,
                   library->version(), library->describe(status));
}

Status Products::describe(const qrt_product &product, int64_t rows,
                          Plan &plan) {
  auto size = [&](int64_t extent) { return extent ? extent : rows; };
  int64_t m = size(product.m), n = size(product.n), k = size(product.k);
  QRT_RETURN_IF_ERROR(
      check(library->matmulDescCreate(&plan.operation, kCompute32F, kCudaR32F),
            "cublasLtMatmulDescCreate"));
  auto set = [&](int attribute, auto value) {
    return check(
        library->matmulDescSet(plan.operation, attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
  };
  QRT_RETURN_IF_ERROR(set(kDescTransA, product.right_transposed ? kOpT : kOpN));
  QRT_RETURN_IF_ERROR(set(kDescTransB, product.left_transposed ? kOpT : kOpN));
  if (product.bias >= 0) {
    QRT_RETURN_IF_ERROR(set(kDescEpilogue, kEpilogueBias));
    // The heuristic reads this pointer's alignment; every layer has its own.
    QRT_RETURN_IF_ERROR(set(kDescBiasPointer, uint64_t(kAlignment)));
  }
  // A row-major [rows][columns] is a column-major matrix of `columns` rows.
  auto layout = [&](cublasLtMatrixLayout_t &layout, uint32_t dtype,
                    int64_t rows, int64_t columns) {
    return check(library->layoutCreate(&layout, dataType(dtype),
                                       static_cast<uint64_t>(columns),
                                       static_cast<uint64_t>(rows), columns),
                 "cublasLtMatrixLayoutCreate");
  };
  QRT_RETURN_IF_ERROR(product.right_transposed
                          ? layout(plan.a, product.operand_dtype, n, k)
                          : layout(plan.a, product.operand_dtype, k, n));
  QRT_RETURN_IF_ERROR(product.left_transposed
                          ? layout(plan.b, product.operand_dtype, k, m)
                          : layout(plan.b, product.operand_dtype, m, k));
  return layout(plan.d, product.result_dtype, m, n);
}

Status Products::findCandidates(const qrt_product &product, const Plan &plan,
                                int count, Candidates &found) {
  cublasLtMatmulPreference_t preference = nullptr;
  QRT_RETURN_IF_ERROR(check(library->preferenceCreate(&preference),
                            "cublasLtMatmulPreferenceCreate"));
  auto set = [&](int attribute, auto value) {
    return check(
        library->preferenceSet(preference, attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
  };
  Status status = set(kPreferMaxWorkspace, size_t(alignedBytes(product)));
  for (int attribute : {kPreferAlignmentA, kPreferAlignmentB, kPreferAlignmentC,
                        kPreferAlignmentD})
    if (status)
      status = set(attribute, kAlignment);
  if (status) {
    found.resize(count);
    cublasStatus_t code =
        library->heuristic(handle, plan.operation, plan.a, plan.b, plan.d,
                           plan.d, preference, count, found.data(), &count);
    // No algorithm is no error: the module's own kernel takes its place.
    if (code != kCublasNotSupported)
      status = check(code, "cublasLtMatmulAlgoGetHeuristic");
    found.resize(code == kCublasSuccess ? count : 0);
    auto isUseless = [&](const cublasLtMatmulHeuristicResult_t &each) {
      return each.state != kCublasSuccess ||
             each.workspaceSize > alignedBytes(product);
    };
    found.erase(std::remove_if(found.begin(), found.end(), isUseless),
                found.end());
  }
  library->preferenceDestroy(preference);
  return status;
}

Status Products::choose(const Call &call, Plan &plan) {
  std::string name;
  if (tuning) {
    name = nameOf(call.product, call.rows);
    cublasLtMatmulHeuristicResult_t result{};
    std::optional<cublasLtMatmulAlgo_t> known = tuning->find(name);
    if (known &&
        library->checkAlgorithm(handle, plan.operation, plan.a, plan.b, plan.d,
                                plan.d, &*known, &result) == kCublasSuccess) {
      plan.algorithm = *known;
      plan.isSupported = result.workspaceSize <= alignedBytes(call.product);
    }
    if (plan.isSupported)
      return Status::success();
  }
  bool isMeasured = tuning && !call.isCaptured;
  Candidates candidates;
  QRT_RETURN_IF_ERROR(findCandidates(call.product, plan,
                                     isMeasured ? kCandidates : 1, candidates));
  plan.isSupported = !candidates.empty();
  if (!plan.isSupported)
    return Status::success();
  plan.algorithm = candidates.front().algo;
  if (!isMeasured)
    return Status::success();
  auto [fastest, microseconds] = findFastest(call, plan, candidates);
  plan.algorithm = candidates[fastest].algo;
  return tuning->add(name, plan.algorithm, microseconds);
}

std::optional<double> Products::measure(const Call &call, const Plan &plan,
                                        const cublasLtMatmulAlgo_t &algorithm,
                                        void *result) {
  CUevent begin = nullptr, end = nullptr;
  std::optional<double> microseconds;
  // The first one loads the kernel.
  if (multiply(call, plan, algorithm, result) == kCublasSuccess &&
      driver->eventCreate(&begin, kTiming) == kSuccess &&
      driver->eventCreate(&end, kTiming) == kSuccess &&
      driver->eventRecord(begin, stream) == kSuccess) {
    bool isFine = true;
    for (int i = 0; i < kRepetitions; ++i)
      isFine &= multiply(call, plan, algorithm, result) == kCublasSuccess;
    float milliseconds = 0;
    if (isFine && driver->eventRecord(end, stream) == kSuccess &&
        driver->eventSynchronize(end) == kSuccess &&
        driver->eventElapsed(&milliseconds, begin, end) == kSuccess)
      microseconds = milliseconds * 1000 / kRepetitions;
  }
  for (CUevent event : {begin, end})
    if (event)
      driver->eventDestroy(event);
  return microseconds;
}

std::pair<size_t, double> Products::findFastest(const Call &call,
                                                const Plan &plan,
                                                const Candidates &candidates) {
  std::pair<size_t, double> fastest = {0, 0};
  // Not into the call's result: that would be added up every time.
  const qrt_product &product = call.product;
  auto size = [&](int64_t extent) { return extent ? extent : call.rows; };
  CUdeviceptr scratch = 0;
  size_t bytes = static_cast<size_t>(size(product.m) * size(product.n)) *
                 (product.result_dtype == QRT_BF16 ? 2 : 4);
  if (driver->memAlloc(&scratch, bytes) != kSuccess)
    return fastest;
  for (size_t i = 0; i < candidates.size(); ++i) {
    std::optional<double> time = measure(call, plan, candidates[i].algo,
                                         reinterpret_cast<void *>(scratch));
    if (time && (fastest.second == 0 || *time < fastest.second))
      fastest = {i, *time};
  }
  driver->streamSynchronize(stream);
  driver->memFree(scratch);
  return fastest;
}

Expected<const Products::Plan *> Products::planFor(const Call &call) {
  Key key{};
  static_assert(sizeof call.product % 8 == 0);
  std::memcpy(key.data(), &call.product, sizeof call.product);
  key.back() = static_cast<uint64_t>(call.rows);
  auto it = plans.find(key);
  if (it != plans.end())
    return &it->second;
  Plan plan;
  Status status = describe(call.product, call.rows, plan);
  if (status)
    status = choose(call, plan);
  if (!status) {
    destroy(plan);
    return status.error();
  }
  if (plans.size() >= kMaxPlans) {
    for (auto &[key, old] : plans)
      destroy(old);
    plans.clear();
  }
  return &(plans[key] = plan);
}

cublasStatus_t Products::multiply(const Call &call, const Plan &plan,
                                  const cublasLtMatmulAlgo_t &algorithm,
                                  void *result) {
  const qrt_product &product = call.product;
  if (product.bias >= 0) {
    const void *bias = pointer(call.params, product.bias);
    if (cublasStatus_t status = library->matmulDescSet(
            plan.operation, kDescBiasPointer, &bias, sizeof bias))
      return status;
  }
  float alpha = 1, beta = product.addend >= 0 ? 1 : 0;
  const void *addend = result;
  if (!result) {
    result = pointer(call.params, product.result);
    addend =
        product.addend >= 0 ? pointer(call.params, product.addend) : result;
  }
  uint64_t workspace = 0;
  if (product.workspace >= 0)
    workspace =
        reinterpret_cast<uint64_t>(pointer(call.params, product.workspace));
  workspace = (workspace + kWorkspaceAlignment - 1) & -kWorkspaceAlignment;
  return library->matmul(
      handle, plan.operation, &alpha, pointer(call.params, product.right),
      plan.a, pointer(call.params, product.left), plan.b, &beta, addend, plan.d,
      result, plan.d, &algorithm, reinterpret_cast<void *>(workspace),
      alignedBytes(product), stream);
}

Expected<bool> Products::run(const qrt_product &product, int64_t rows,
                             void *const *params, bool isCaptured) {
  Call call{product, rows, params, isCaptured};
  QRT_ASSIGN_OR_RETURN(const Plan *plan, planFor(call));
  if (!plan->isSupported)
    return false;
  QRT_RETURN_IF_ERROR(
      check(multiply(call, *plan, plan->algorithm, nullptr), "cublasLtMatmul"));
  return true;
}
