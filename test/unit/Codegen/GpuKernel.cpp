//===- GpuKernel.cpp - A kernel.func on the simulated GPU -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/Codegen/GpuKernel.h"

#include <cmath>
#include <cstring>

#include "gtest/gtest.h"

#include "compiler/Codegen/Nvidia/KernelBuilder.h"
#include "compiler/Codegen/Nvidia/LibraryProduct.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/IR/Builders.h"
#include "test/unit/Codegen/SimModule.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::testing;

namespace {
/// Memory of the device between guards, aligned to `alignment` (at most 16
/// bytes) and not to more.
class DeviceMemory {
public:
  DeviceMemory(int64_t bytes, int64_t alignment)
      : bytes(bytes), storage(bytes + 2 * kGuard + 32, kPattern) {
    auto address = reinterpret_cast<uintptr_t>(storage.data()) + kGuard;
    base = storage.data() + kGuard + (-address & 31) + alignment;
    std::memset(base, 0xff, bytes);
  }
  char *data() { return base; }
  int64_t size() const { return bytes; }
  bool isIntact() const {
    for (const char *at = storage.data(); at != base; ++at)
      if (*at != kPattern)
        return false;
    const char *end = storage.data() + storage.size();
    for (const char *at = base + bytes; at != end; ++at)
      if (*at != kPattern)
        return false;
    return true;
  }

private:
  static constexpr int64_t kGuard = 256;
  static constexpr char kPattern = 0x5a;
  int64_t bytes;
  std::vector<char> storage;
  char *base;
};
} // namespace

struct GpuKernel::State {
  std::unique_ptr<SimModule> module;
  nvidia::KernelCode code;
  int64_t workspaceBytes = 0;
  /// Elements by dimensions (kDynamic: batch and sequence, or rows) and bytes
  /// of one; whether a single dynamic dimension is the batch.
  struct Operand {
    SmallVector<int64_t> shape;
    int64_t elementBytes;
    int64_t alignment;
    bool isPerBatch;

    int64_t bytes(const Launch &launch) const {
      int64_t total = elementBytes;
      for (int64_t size : shape)
        total *= ShapedType::isDynamic(size) ? 1 : size;
      int64_t dynamic = llvm::count_if(shape, ShapedType::isDynamic);
      if (dynamic == 2 || (dynamic == 1 && !isPerBatch))
        total *= launch.batch * launch.sequence;
      else if (dynamic == 1)
        total *= launch.batch;
      return total;
    }
  };
  SmallVector<Operand> arguments, results;
  SmallVector<int> inplace;
};

GpuKernel::GpuKernel() : state(std::make_unique<State>()) {}
GpuKernel::~GpuKernel() = default;

llvm::Expected<std::unique_ptr<GpuKernel>>
GpuKernel::create(kernel::FuncOp kernel, ModuleOp module, int64_t maxRows) {
  std::unique_ptr<GpuKernel> made(new GpuKernel());
  State &state = *made->state;
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  auto gpuModule = gpu::GPUModuleOp::create(b, kernel.getLoc(), "kernels");
  nvidia::NvidiaTarget target;
  nvidia::chooseImplementation(kernel);
  state.workspaceBytes = nvidia::workspaceBytes(kernel, target, maxRows);
  kernel.setWorkspace(state.workspaceBytes);
  auto code = nvidia::emitKernel(kernel, target, gpuModule);
  if (failed(code))
    return llvm::createStringError("not emitted: ");
  state.code = *code;
  if (failed(module.verify()))
    return llvm::createStringError("the emitted code is not valid: ");

  // Kernels that know the batch; in others one dimension is the rows.
  bool isPerBatch = false;
  kernel.walk([&](Operation *op) {
    isPerBatch |=
        isa<CachedAttentionOp, KvAppendOp, LastTokenOp, PositionsOp>(op);
  });
  auto describe = [&](Type type) -> State::Operand {
    auto tensor = cast<RankedTensorType>(type);
    int64_t bits = tensor.getElementTypeBitWidth();
    return {SmallVector<int64_t>(tensor.getShape()), (bits + 7) / 8,
            nvidia::alignmentOf(type), isPerBatch};
  };
  for (Type type : kernel.getArgumentTypes())
    state.arguments.push_back(describe(type));
  for (auto [i, type] : llvm::enumerate(kernel.getResultTypes())) {
    state.results.push_back(describe(type));
    state.inplace.push_back(kernel.getInplaceArgument(i));
  }
  auto lowered = SimModule::create(module);
  if (!lowered)
    return lowered.takeError();
  state.module = std::move(*lowered);
  return made;
}

/// What a library does of a kernel with these parameters.
static void runProduct(const qrt_product &product, int64_t rows,
                       const std::vector<void *> &params) {
  auto load = [&](int32_t param, uint32_t dtype, int64_t i) {
    const char *base = *static_cast<char **>(params[param]);
    return dtype == QRT_F32
               ? reinterpret_cast<const float *>(base)[i]
               : fromBf16(reinterpret_cast<const uint16_t *>(base)[i]);
  };
  int64_t m = product.m ? product.m : rows, n = product.n;
  int64_t k = product.k ? product.k : rows;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t r = 0; r < k; ++r)
        sum += double(load(product.left, product.operand_dtype,
                           product.left_transposed ? r * m + i : i * k + r)) *
               load(product.right, product.operand_dtype,
                    product.right_transposed ? j * k + r : r * n + j);
      if (product.addend >= 0)
        sum += load(product.addend, product.result_dtype, i * n + j);
      if (product.bias >= 0)
        sum += load(product.bias, product.result_dtype, j);
      char *base = *static_cast<char **>(params[product.result]);
      if (product.result_dtype == QRT_F32)
        reinterpret_cast<float *>(base)[i * n + j] = float(sum);
      else
        reinterpret_cast<uint16_t *>(base)[i * n + j] = toBf16(float(sum));
    }
}

/// Largest difference of two results as a share of the largest number.
static double difference(const std::vector<char> &x, const std::vector<char> &y,
                         bool isBf16) {
  double largest = 1e-30, error = 0;
  for (size_t at = 0; at < x.size(); at += isBf16 ? 2 : 4) {
    auto load = [&](const std::vector<char> &bytes) -> double {
      if (isBf16)
        return fromBf16(*reinterpret_cast<const uint16_t *>(&bytes[at]));
      return *reinterpret_cast<const float *>(&bytes[at]);
    };
    largest = std::max(largest, std::fabs(load(x)));
    error = std::max(error, std::fabs(load(x) - load(y)));
  }
  return error / largest;
}

void GpuKernel::run(const Launch &launch, int threads) {
  // Before our own kernels write results that are operands too.
  std::vector<std::vector<char>> ofLibrary;
  if (llvm::any_of(state->code, [](auto &each) { return each.library; }))
    runOnce(launch, threads, /*hasLibrary=*/true, ofLibrary);
  std::vector<std::vector<char>> results;
  runOnce(launch, threads, /*hasLibrary=*/false, results);
  for (size_t i = 0; i < results.size(); ++i) {
    std::memcpy(launch.results[i], results[i].data(), results[i].size());
    if (ofLibrary.empty())
      continue;
    bool isBf16 = state->results[i].elementBytes == 2;
    // Sums in another order flip a rounding now and then, before another.
    EXPECT_LE(difference(results[i], ofLibrary[i], isBf16),
              isBf16 ? 1.0 / 64 : 1e-5)
        << "a library's product differs in result " << i;
  }
}

void GpuKernel::runOnce(const Launch &launch, int threads, bool hasLibrary,
                        std::vector<std::vector<char>> &contents) {
  std::vector<std::unique_ptr<DeviceMemory>> memory;
  auto allocate = [&](int64_t bytes, int64_t alignment) -> DeviceMemory & {
    memory.push_back(std::make_unique<DeviceMemory>(bytes, alignment));
    return *memory.back();
  };
  // Parameters, in the order of the kernel's signature.
  std::vector<int64_t> values;
  auto add = [&](DeviceMemory &place) {
    values.push_back(reinterpret_cast<int64_t>(place.data()));
  };
  std::vector<DeviceMemory *> arguments, results;
  for (auto [i, operand] : llvm::enumerate(state->arguments)) {
    arguments.push_back(&allocate(operand.bytes(launch), operand.alignment));
    std::memcpy(arguments[i]->data(), launch.arguments[i],
                arguments[i]->size());
    add(*arguments[i]);
  }
  for (auto [i, operand] : llvm::enumerate(state->results)) {
    if (state->inplace[i] >= 0) {
      results.push_back(arguments[state->inplace[i]]);
      continue;
    }
    results.push_back(&allocate(operand.bytes(launch), operand.alignment));
    add(*results[i]);
  }
  add(allocate(state->workspaceBytes, nvidia::kAccessBytes));
  values.insert(values.end(), {launch.batch, launch.sequence,
                               launch.batch * launch.sequence});
  std::vector<void *> params;
  for (int64_t &value : values)
    params.push_back(&value);

  bool isDone = false;
  for (const nvidia::Launch &each : state->code) {
    if (each.followsLibrary && !isDone)
      continue;
    SimModule::Grid grid = {{},
                            static_cast<uint32_t>(each.threads),
                            static_cast<uint32_t>(each.sharedBytes)};
    for (auto [d, map] : llvm::enumerate(each.grid)) {
      Builder b(map.getContext());
      SmallVector<Attribute> folded;
      ASSERT_TRUE(succeeded(map.constantFold(
          {b.getI64IntegerAttr(launch.batch),
           b.getI64IntegerAttr(launch.sequence),
           b.getI64IntegerAttr(launch.batch * launch.sequence)},
          folded)));
      grid.blocks[d] = cast<IntegerAttr>(folded[0]).getInt();
    }
    bool isEmpty = llvm::is_contained(grid.blocks, 0u);
    if (hasLibrary && each.library && !isEmpty) {
      runProduct(*each.library, launch.batch * launch.sequence, params);
      isDone = true;
      continue;
    }
    ASSERT_EQ(state->module->launch(each.symbol, grid, params, threads), "");
  }
  for (auto &each : memory)
    ASSERT_TRUE(each->isIntact()) << "a write outside of an operand";
  for (DeviceMemory *result : results)
    contents.emplace_back(result->data(), result->data() + result->size());
}
