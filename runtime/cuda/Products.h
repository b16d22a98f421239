//===- Products.h - Matrix products by cuBLASLt -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDA_PRODUCTS_H
#define QWEN_RUNTIME_CUDA_PRODUCTS_H

#include "runtime/abi/qwen_module.h"
#include "runtime/cuda/AlgorithmFile.h"
#include "runtime/cuda/CublasLt.h"
#include "runtime/cuda/Driver.h"

#include <array>
#include <map>
#include <vector>

namespace qrt::cuda {

/// The products of modules on one stream of one device. What the library needs
/// to know of a shape is made once, when the shape is first met: entries run as
/// they are before they are captured, so a graph never waits for a heuristic.
/// Memory comes from the module's plan; only measuring allocates.
///
/// QWEN_CUBLASLT_TUNING in the environment names a file of algorithms. Products
/// that it knows run what it says; of others some algorithms are measured and
/// the fastest is added to it.
class Products {
public:
  /// The device's context is current; `gpu` is the kind of GPU. Errors: Q6053,
  /// Q3001, Q3005 (the file).
  static Expected<std::unique_ptr<Products>>
  create(std::shared_ptr<const CublasLt> library,
         std::shared_ptr<const Driver> driver, CUstream stream,
         const std::string &gpu);
  ~Products();

  /// Queues `product` for `rows` rows; false if the library has no algorithm
  /// for it. Nothing is measured while `isCaptured`. Errors: Q6053, to which
  /// the caller adds the kernel.
  Expected<bool> run(const qrt_product &product, int64_t rows,
                     void *const *params, bool isCaptured);

private:
  /// One product of one shape, as cuBLASLt sees it.
  struct Plan {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
    bool isSupported = false;
  };

  /// One call of a product.
  struct Call {
    const qrt_product &product;
    int64_t rows;
    void *const *params;
    bool isCaptured;
  };
  using Candidates = std::vector<cublasLtMatmulHeuristicResult_t>;

  Products(std::shared_ptr<const CublasLt> library,
           std::shared_ptr<const Driver> driver, CUstream stream)
      : library(std::move(library)), driver(std::move(driver)), stream(stream) {
  }
  Expected<const Plan *> planFor(const Call &call);
  Status describe(const qrt_product &product, int64_t rows, Plan &plan);
  /// Sets the plan's algorithm.
  Status choose(const Call &call, Plan &plan);
  /// At most `count` algorithms, by the heuristic's order.
  Status findCandidates(const qrt_product &product, const Plan &plan, int count,
                        Candidates &found);
  /// Microseconds of one product; none if the algorithm does not run. `result`
  /// is memory for another result.
  std::optional<double> measure(const Call &call, const Plan &plan,
                                const cublasLtMatmulAlgo_t &algorithm,
                                void *result);
  /// The fastest of `candidates`, and its time.
  std::pair<size_t, double> findFastest(const Call &call, const Plan &plan,
                                        const Candidates &candidates);
  /// Queues a product; `result` (null: the call's) is also its addend then.
  cublasStatus_t multiply(const Call &call, const Plan &plan,
                          const cublasLtMatmulAlgo_t &algorithm, void *result);
  void destroy(Plan &plan);
  /// An error for a failed call of `function`.
  Status check(cublasStatus_t status, const char *function) const;

  std::shared_ptr<const CublasLt> library;
  std::shared_ptr<const Driver> driver;
  CUstream stream;
  std::optional<AlgorithmFile> tuning;
  cublasLtHandle_t handle = nullptr;
  /// By the product's description and the rows.
  using Key = std::array<uint64_t, sizeof(qrt_product) / 8 + 1>;
  std::map<Key, Plan> plans;
};

} // namespace qrt::cuda

#endif // QWEN_RUNTIME_CUDA_PRODUCTS_H
