//===- Parameters.h - Between files and a model's parameters ----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A parameter is one logical (out, in) matrix per layer; the manifest's file
// views say how it lies in files: under which name, transposed, as a slice of a
// larger tensor, with permuted rows. Loading, saving and `grad.*` all use them.
//
// Of the views of one format, the first that is no alias is the canonical one,
// used for writing; further ones that are no aliases are other spellings, used
// for reading where the canonical tensor is absent.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_PARAMETERS_H
#define QWEN_RUNTIME_WEIGHTS_PARAMETERS_H

#include "runtime/core/Device.h"
#include "runtime/core/Error.h"
#include "runtime/core/Manifest.h"
#include "runtime/weights/Quantize.h"
#include "runtime/weights/Safetensors.h"
#include "runtime/weights/ViewRegion.h"
#include "runtime/weights/WeightSource.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace qrt {

/// The (out, in) matrix of one layer of one parameter (index into the
/// manifest's list), row-major f32.
using ParameterPointer =
    std::function<float *(size_t parameter, int64_t layer)>;
/// The same for reading: valid until the third call after this one.
using ConstParameterPointer =
    std::function<Expected<const float *>(size_t parameter, int64_t layer)>;

/// Where a matrix is loaded to, as F32 or rounded to BF16, or quantized; with
/// neither not at all.
struct ParameterTarget {
  void *data = nullptr;
  DType dtype = DType::F32;
  QuantizedMatrix quantized = {};
  /// The block of the matrix that the target holds, dense; none: all of it.
  std::optional<MatrixBlock> block = {};

  bool isQuantized() const { return quantized.values != nullptr; }
  bool isWanted() const { return data || isQuantized(); }
};
using ParameterTargets =
    std::function<ParameterTarget(size_t parameter, int64_t layer)>;

/// Calls the function for 0 .. n - 1, in any order and on any threads, and
/// returns when all calls have. Empty: one after the other.
using ParallelTasks =
    std::function<void(int64_t n, const std::function<void(int64_t)> &task)>;

/// On the threads of the device's pool.
ParallelTasks parallelTasks(Device &device);

/// Values of every parameter, in tensors whose names begin with `prefix`
/// ("" weights, "moment1.", ...).
struct ParameterSet {
  std::string prefix;
  ParameterPointer data;
};

/// Targets for tensors whose names begin with `prefix`.
struct TargetSet {
  std::string prefix;
  ParameterTargets targets;
};

/// Fills every parameter of every layer. First everything is checked: one error
/// (Q3021; Q3022 if only dtypes are wrong) lists all missing, extra and
/// misshapen tensors with their shapes, and then nothing has been written. A
/// duplicate of a tied parameter must equal it (Q3023). From a random source
/// the values are initialValues(). Known buffers are skipped.
Status loadParameters(const WeightSource &source,
                      const std::vector<ParameterInfo> &parameters,
                      const ParameterPointer &data,
                      const ParallelTasks &parallel = {});

/// The same into storages of any type, without an f32 copy of the model. A
/// tied head is then compared as rounded or quantized.
Status loadParametersAs(const WeightSource &source,
                        const std::vector<ParameterInfo> &parameters,
                        const ParameterTargets &targets,
                        const ParallelTasks &parallel = {});

/// The same for several sets that share a source, which must hold nothing else.
/// The set "moment2." lacks the parameters that have one moment.
/// Of a parameter only the block that is asked for is read.
Status loadTargetSets(const WeightSource &source,
                      const std::vector<ParameterInfo> &parameters,
                      const std::vector<TargetSet> &sets,
                      const ParallelTasks &parallel = {});
Status loadParameterSets(const WeightSource &source,
                         const std::vector<ParameterInfo> &parameters,
                         const std::vector<ParameterSet> &sets,
                         const ParallelTasks &parallel = {});

/// The file tensors that hold all parameters, in the parameters' order, as F32,
/// named `prefix` + their name in files of `format`. `parameters` and `data`
/// must live until the tensors have been written. Errors: Q3024 when the views
/// contradict each other.
Expected<std::vector<OutputTensor>>
parameterTensors(const std::vector<ParameterInfo> &parameters,
                 const ConstParameterPointer &data,
                 const std::string &prefix = "",
                 const std::string &format = "hf");

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_PARAMETERS_H
