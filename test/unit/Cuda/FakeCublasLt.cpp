//===- FakeCublasLt.cpp - A test double of libcublasLt.so.13 --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The entry points that the runtime uses, on memory and streams of the driver's
// double (FakeDriver.cpp): descriptors, layouts, types, alignments and
// workspaces are checked as the library's documentation says, products are
// queued and computed on the host. An algorithm holds for the problem it was
// chosen for, and spoils all of the workspace that it asked for.
//
// Keys of FAKE_CUDA: lt-log (a file that gets a line for every product that is
// done), lt-none (1: no algorithm for anything); fail= takes functions of this
// library and its status.
//
//===----------------------------------------------------------------------===//

#include "test/unit/Cuda/FakeDriver.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>
#include <string>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kSuccess = 0, kInvalidValue = 7, kNotSupported = 15;
constexpr int kF32 = 0, kBf16 = 14;
constexpr uint32_t kEpilogueDefault = 1, kEpilogueBias = 4;

struct Operation {
  int32_t transA = 0, transB = 0;
  uint32_t epilogue = kEpilogueDefault;
  uint64_t bias = 0;
};
/// Column-major.
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t stride;

  bool operator==(const Layout &other) const {
    return type == other.type && rows == other.rows &&
           columns == other.columns && stride == other.stride;
  }
  uint64_t elementBytes() const { return type == kBf16 ? 2 : 4; }
  uint64_t bytes() const {
    return ((columns - 1) * uint64_t(stride) + rows) * elementBytes();
  }
};
struct Preference {
  size_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256}; // of A, B, C, D
};
/// What an algorithm is chosen for.
struct Problem {
  int32_t transA, transB;
  uint32_t epilogue;
  Layout a, b, c, d;

  /// A number that tells problems apart, the same in every process.
  uint64_t hash() const {
    uint64_t value = 14695981039346656037u;
    auto add = [&](uint64_t field) {
      value = (value ^ field) * 1099511628211u;
    };
    for (uint64_t field :
         {uint64_t(transA), uint64_t(transB), uint64_t(epilogue)})
      add(field);
    for (const Layout *layout : {&a, &b, &c, &d})
      for (uint64_t field : {uint64_t(layout->type), layout->rows,
                             layout->columns, uint64_t(layout->stride)})
        add(field);
    return value;
  }
};
/// data: the problem, bytes of workspace, number of the algorithm, alignments
/// of A to D (each 16 bits).
struct Algorithm {
  uint64_t data[8];

  uint64_t alignment(size_t operand) const {
    return data[3] >> (16 * operand) & 0xffff;
  }
};
constexpr int kAlgorithms = 3;
constexpr double kMilliseconds[kAlgorithms] = {3, 1, 2};
struct HeuristicResult {
  Algorithm algorithm;
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
struct Handle {};

/// All that exists, to find what does not any more.
struct State {
  std::set<const void *> alive;
};
State &state() {
  static State instance;
  return instance;
}

int invalid(const std::string &text) {
  fakeCudaViolation("cuBLASLt: " + text);
  return kInvalidValue;
}

#define BEGIN(symbol)                                                          \
  if (int code = fakeCudaBegin(symbol))                                        \
  return code

template <typename T> int create(T **result, T value) {
  *result = new T(value);
  state().alive.insert(*result);
  return kSuccess;
}
template <typename T> int destroy(T *object, const char *what) {
  if (!state().alive.erase(object))
    return invalid(std::string("destroyed no ") + what);
  delete object;
  return kSuccess;
}
bool areAlive(std::initializer_list<const void *> objects) {
  for (const void *object : objects)
    if (!state().alive.count(object))
      return false;
  return true;
}
template <typename T> int assign(T &field, const void *value, size_t bytes) {
  if (!value || bytes != sizeof field)
    return invalid("an attribute of " + std::to_string(bytes) + " bytes");
  std::memcpy(&field, value, bytes);
  return kSuccess;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Empty, or what is wrong with it.
std::string faultOf(const Problem &p) {
  bool isA = p.transA == 1, isB = p.transB == 1;
  uint64_t m = isA ? p.a.columns : p.a.rows, k = isA ? p.a.rows : p.a.columns;
  uint64_t n = isB ? p.b.rows : p.b.columns;
  if ((isB ? p.b.columns : p.b.rows) != k)
    return "the inner sizes of A and B differ";
  if (p.d.rows != m || p.d.columns != n)
    return "D is " + std::to_string(p.d.rows) + " x " +
           std::to_string(p.d.columns) + ", the product " + std::to_string(m) +
           " x " + std::to_string(n);
  if (p.c.rows != m || p.c.columns != n)
    return "C has another size than D";
  if (p.a.type != p.b.type)
    return "A and B of different types";
  if (p.c.type != p.d.type || (p.a.type == kF32 && p.d.type != kF32))
    return "types of C and D that A and B do not go with";
  return "";
}

float load(const char *memory, const Layout &layout, uint64_t row,
           uint64_t column) {
  const char *at =
      memory + (column * uint64_t(layout.stride) + row) * layout.elementBytes();
  if (layout.type == kF32) {
    float value;
    std::memcpy(&value, at, 4);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, at, 2);
  uint32_t bits = uint32_t(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

/// Rounds to nearest even. No test has NaN.
void store(char *memory, const Layout &layout, uint64_t row, uint64_t column,
           float value) {
  char *at =
      memory + (column * uint64_t(layout.stride) + row) * layout.elementBytes();
  if (layout.type == kF32) {
    std::memcpy(at, &value, 4);
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  auto half = uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  std::memcpy(at, &half, 2);
}

/// One product with all that it needs, since descriptors may change and go.
struct Product {
  Problem problem;
  float alpha, beta;
  const char *a, *b, *c, *bias;
  char *d, *workspace;
  uint64_t workspaceBytes, algorithm;

  int run() const {
    const Problem &p = problem;
    fakeCudaSpend(kMilliseconds[algorithm]);
    if (workspaceBytes)
      std::memset(workspace, 0xee, workspaceBytes);
    uint64_t k = p.transA == 1 ? p.a.rows : p.a.columns;
    Layout vector = {p.d.type, p.d.rows, 1, int64_t(p.d.rows)};
    for (uint64_t j = 0; j < p.d.columns; ++j)
      for (uint64_t i = 0; i < p.d.rows; ++i) {
        float sum = 0;
        for (uint64_t r = 0; r < k; ++r)
          sum += (p.transA == 1 ? load(a, p.a, r, i) : load(a, p.a, i, r)) *
                 (p.transB == 1 ? load(b, p.b, j, r) : load(b, p.b, r, j));
        sum *= alpha;
        if (beta != 0)
          sum += beta * load(c, p.c, i, j);
        if (bias)
          sum += load(bias, vector, i, 0);
        store(d, p.d, i, j, sum);
      }
    std::string path = fakeCudaOption("lt-log", "");
    if (std::FILE *log =
            path.empty() ? nullptr : std::fopen(path.c_str(), "a")) {
      std::fprintf(log, "%c%c %llux%llux%llu %s->%s beta %g%s%s\n",
                   p.transA == 1 ? 'T' : 'N', p.transB == 1 ? 'T' : 'N',
                   (unsigned long long)p.d.rows,
                   (unsigned long long)p.d.columns, (unsigned long long)k,
                   p.a.type == kBf16 ? "bf16" : "f32",
                   p.d.type == kBf16 ? "bf16" : "f32", double(beta),
                   bias ? " bias" : "", algorithm ? " tuned" : "");
      std::fclose(log);
    }
    return 0;
  }
};

bool overlap(const char *x, uint64_t xBytes, const char *y, uint64_t yBytes) {
  return x < y + yBytes && y < x + xBytes;
}

} // namespace

//===----------------------------------------------------------------------===//
// The library
//===----------------------------------------------------------------------===//

EXPORT size_t cublasLtGetVersion() { return 130002; }
EXPORT const char *cublasLtGetStatusName(int status) {
  switch (status) {
  case kSuccess:
    return "CUBLAS_STATUS_SUCCESS";
  case kInvalidValue:
    return "CUBLAS_STATUS_INVALID_VALUE";
  case 13:
    return "CUBLAS_STATUS_EXECUTION_FAILED";
  case kNotSupported:
    return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return nullptr;
}
EXPORT int cublasLtCreate(Handle **handle) {
  BEGIN("cublasLtCreate");
  return create(handle, Handle());
}
EXPORT int cublasLtDestroy(Handle *handle) {
  int status = destroy(handle, "handle");
  if (!state().alive.empty()) {
    state() = State();
    return invalid("something was not destroyed");
  }
  return status;
}
EXPORT int cublasLtMatmulDescCreate(Operation **operation, int computeType,
                                    int scaleType) {
  BEGIN("cublasLtMatmulDescCreate");
  if (computeType != 68 || scaleType != kF32)
    return invalid("sums that are not made in f32");
  return create(operation, Operation());
}
EXPORT int cublasLtMatmulDescDestroy(Operation *operation) {
  return destroy(operation, "operation");
}
EXPORT int cublasLtMatmulDescSetAttribute(Operation *operation, int attribute,
                                          const void *value, size_t bytes) {
  BEGIN("cublasLtMatmulDescSetAttribute");
  if (!areAlive({operation}))
    return invalid("an operation that does not exist");
  int status = kSuccess;
  switch (attribute) {
  case 3:
  case 4: {
    int32_t &field = attribute == 3 ? operation->transA : operation->transB;
    status = assign(field, value, bytes);
    return status || (field == 0 || field == 1)
               ? status
               : invalid("an operand that is neither N nor T");
  }
  case 7:
    status = assign(operation->epilogue, value, bytes);
    if (!status && operation->epilogue != kEpilogueDefault &&
        operation->epilogue != kEpilogueBias)
      return invalid("an epilogue that nobody asks for");
    return status;
  case 8:
    return assign(operation->bias, value, bytes);
  }
  return invalid("an attribute of operations that nobody asks for");
}
EXPORT int cublasLtMatrixLayoutCreate(Layout **layout, int type, uint64_t rows,
                                      uint64_t columns, int64_t stride) {
  BEGIN("cublasLtMatrixLayoutCreate");
  if (type != kF32 && type != kBf16)
    return invalid("a matrix of type " + std::to_string(type));
  if (!rows || !columns || stride < int64_t(rows))
    return invalid("a matrix of " + std::to_string(rows) + " x " +
                   std::to_string(columns) + " with stride " +
                   std::to_string(stride));
  return create(layout, Layout{type, rows, columns, stride});
}
EXPORT int cublasLtMatrixLayoutDestroy(Layout *layout) {
  return destroy(layout, "layout");
}
EXPORT int cublasLtMatmulPreferenceCreate(Preference **preference) {
  BEGIN("cublasLtMatmulPreferenceCreate");
  return create(preference, Preference());
}
EXPORT int cublasLtMatmulPreferenceDestroy(Preference *preference) {
  return destroy(preference, "preference");
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference *preference,
                                                int attribute,
                                                const void *value,
                                                size_t bytes) {
  BEGIN("cublasLtMatmulPreferenceSetAttribute");
  if (!areAlive({preference}))
    return invalid("a preference that does not exist");
  if (attribute == 1)
    return assign(preference->workspace, value, bytes);
  if (attribute < 5 || attribute > 8)
    return invalid("a preference that nobody asks for");
  uint32_t &alignment = preference->alignment[attribute - 5];
  int status = assign(alignment, value, bytes);
  if (!status && (alignment == 0 || (alignment & (alignment - 1))))
    return invalid("an alignment that is no power of two");
  return status;
}
/// Whether the problem is one that the library can do.
static int checkProblem(const Problem &problem) {
  if (std::string fault = faultOf(problem); !fault.empty())
    return invalid(fault);
  // The fast kernels of the real one need this; it would take slow ones.
  for (const Layout &layout : {problem.a, problem.b, problem.c, problem.d})
    if (uint64_t(layout.stride) * layout.elementBytes() % 16)
      return invalid("columns that are not aligned to 16 bytes");
  return kSuccess;
}
EXPORT int cublasLtMatmulAlgoGetHeuristic(Handle *handle, Operation *operation,
                                          Layout *a, Layout *b, Layout *c,
                                          Layout *d, Preference *preference,
                                          int requested,
                                          HeuristicResult *results,
                                          int *found) {
  BEGIN("cublasLtMatmulAlgoGetHeuristic");
  if (!areAlive({handle, operation, a, b, c, d, preference}) || requested < 1 ||
      !results || !found)
    return invalid("a heuristic for what does not exist");
  *found = 0;
  if (fakeCudaOption("lt-none", "") == "1")
    return kNotSupported;
  Problem problem = {operation->transA,
                     operation->transB,
                     operation->epilogue,
                     *a,
                     *b,
                     *c,
                     *d};
  if (int status = checkProblem(problem))
    return status;
  if (operation->epilogue == kEpilogueBias &&
      (!operation->bias || operation->bias % 16))
    return invalid("a heuristic that does not know the bias' alignment");
  size_t workspace = std::min<size_t>(preference->workspace, d->bytes());
  uint64_t alignments = 0;
  for (size_t i = 0; i < 4; ++i)
    alignments |= uint64_t(preference->alignment[i]) << (16 * i);
  for (int i = 0; i < std::min(requested, kAlgorithms); ++i)
    results[(*found)++] = {
        {{problem.hash(), workspace, uint64_t(i), alignments}},
        workspace,
        kSuccess,
        1,
        {}};
  return kSuccess;
}
EXPORT int cublasLtMatmulAlgoCheck(Handle *handle, Operation *operation,
                                   Layout *a, Layout *b, Layout *c, Layout *d,
                                   const Algorithm *algorithm,
                                   HeuristicResult *result) {
  BEGIN("cublasLtMatmulAlgoCheck");
  if (!areAlive({handle, operation, a, b, c, d}) || !algorithm || !result)
    return invalid("a check of what does not exist");
  Problem problem = {operation->transA,
                     operation->transB,
                     operation->epilogue,
                     *a,
                     *b,
                     *c,
                     *d};
  if (int status = checkProblem(problem))
    return status;
  if (algorithm->data[0] != problem.hash() || algorithm->data[2] >= kAlgorithms)
    return kNotSupported;
  *result = {*algorithm, algorithm->data[1], kSuccess, 1, {}};
  return kSuccess;
}
EXPORT int cublasLtMatmul(Handle *handle, Operation *operation,
                          const float *alpha, uint64_t aAddress, Layout *a,
                          uint64_t bAddress, Layout *b, const float *beta,
                          uint64_t cAddress, Layout *c, uint64_t dAddress,
                          Layout *d, const Algorithm *algorithm,
                          uint64_t workspaceAddress, size_t workspaceBytes,
                          void *stream) {
  BEGIN("cublasLtMatmul");
  if (!areAlive({handle, operation, a, b, c, d}) || !alpha || !beta)
    return invalid("a product of what does not exist");
  Product product;
  product.problem = {operation->transA,
                     operation->transB,
                     operation->epilogue,
                     *a,
                     *b,
                     *c,
                     *d};
  if (!algorithm || algorithm->data[0] != product.problem.hash() ||
      algorithm->data[2] >= kAlgorithms)
    return invalid("an algorithm that was chosen for another problem");
  product.algorithm = algorithm->data[2];
  uint64_t needed = algorithm->data[1];
  if (workspaceBytes < needed)
    return invalid("a workspace that is too small for the algorithm");
  if (workspaceBytes && workspaceAddress % 256)
    return invalid("a workspace that is not aligned to 256 bytes");
  struct {
    uint64_t address;
    const Layout *layout;
  } operands[] = {{aAddress, a}, {bAddress, b}, {cAddress, c}, {dAddress, d}};
  char *memory[4];
  for (size_t i = 0; i < 4; ++i) {
    if (operands[i].address % algorithm->alignment(i))
      return invalid("a matrix that is aligned to less than it was said");
    memory[i] = fakeCudaHost(operands[i].address, operands[i].layout->bytes());
    if (!memory[i])
      return invalid(std::string(1, "ABCD"[i]) +
                     " is not inside of an allocation");
  }
  for (size_t i = 0; i < 3; ++i) {
    bool isInPlace = i == 2 && cAddress == dAddress && *c == *d;
    if (!isInPlace &&
        overlap(memory[i], operands[i].layout->bytes(), memory[3], d->bytes()))
      return invalid("D overlaps an operand");
  }
  product.bias = nullptr;
  if (operation->epilogue == kEpilogueBias) {
    product.bias = fakeCudaHost(operation->bias, d->rows * d->elementBytes());
    if (!product.bias || operation->bias % 16)
      return invalid("a bias that is not there, or not aligned");
  }
  product.workspace = nullptr;
  if (workspaceBytes) {
    product.workspace = fakeCudaHost(workspaceAddress, workspaceBytes);
    if (!product.workspace)
      return invalid("a workspace that is not inside of an allocation");
    for (size_t i = 0; i < 4; ++i)
      if (overlap(memory[i], operands[i].layout->bytes(), product.workspace,
                  workspaceBytes))
        return invalid("the workspace overlaps a matrix");
  }
  product.alpha = *alpha;
  product.beta = *beta;
  product.a = memory[0];
  product.b = memory[1];
  product.c = memory[2];
  product.d = memory[3];
  product.workspaceBytes = needed;
  return fakeCudaPush(stream, [product] { return product.run(); })
             ? kInvalidValue
             : kSuccess;
}
