//===- Spec.cpp - A model file, resolved and checked ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Spec.h"

#include <algorithm>
#include <cmath>

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace qwen;

char SpecError::ID;

std::string SourceLoc::str() const {
  std::string text = file;
  if (line) {
    text += ":" + std::to_string(line);
    if (col)
      text += ":" + std::to_string(col);
  }
  return text;
}

void SpecError::log(llvm::raw_ostream &os) const {
  std::string where = loc.str();
  if (!where.empty())
    os << where << ": ";
  os << "error: " << message << llvm::format(" [Q%04d]", code);
}

std::error_code SpecError::convertToErrorCode() const {
  return llvm::inconvertibleErrorCode();
}

llvm::Error qwen::makeSpecError(int code, const SourceLoc &loc,
                                const llvm::Twine &message) {
  return llvm::make_error<SpecError>(code, loc, message.str());
}

llvm::StringRef qwen::stringifyDType(DType dtype) {
  return dtype == DType::F32 ? "f32" : "bf16";
}

llvm::StringRef qwen::stringifyActivation(SpecActivation kind) {
  static const llvm::StringRef names[] = {"silu", "gelu", "gelu_tanh", "relu2"};
  return names[static_cast<unsigned>(kind)];
}

llvm::StringRef qwen::stringifyOpKind(OpKind kind) {
  static const llvm::StringRef names[] = {"embedding",  "position_embedding",
                                          "rms_norm",   "layer_norm",
                                          "linear",     "rope",
                                          "attention",  "glu",
                                          "activation", "softcap",
                                          "add",        "layers"};
  return names[static_cast<unsigned>(kind)];
}

std::string Axis::str() const { return llvm::join(factors, "*"); }

std::vector<int64_t> Param::shape() const {
  std::vector<int64_t> shape;
  for (const Axis &axis : axes)
    shape.push_back(axis.size);
  return shape;
}

int64_t Param::numElements() const {
  int64_t count = 1;
  for (const Axis &axis : axes)
    count *= axis.size;
  return count;
}

/// As transformers computes them (in double here, rounded once by the user).
std::vector<double> Rope::inverseFrequencies(int64_t headDim) const {
  const int64_t half = headDim / 2;
  const double pi = 3.14159265358979323846;
  std::vector<double> frequencies(half);
  for (int64_t i = 0; i < half; ++i)
    frequencies[i] = 1 / std::pow(theta, 2.0 * i / headDim);

  switch (scaling.kind) {
  case RopeScaling::Kind::None:
    break;
  case RopeScaling::Kind::Linear:
    for (double &f : frequencies)
      f /= scaling.factor;
    break;
  case RopeScaling::Kind::Llama3: {
    double context = static_cast<double>(scaling.originalContext);
    for (double &f : frequencies) {
      double wavelength = 2 * pi / f;
      if (wavelength > context / scaling.lowFreq) {
        f /= scaling.factor;
      } else if (wavelength >= context / scaling.highFreq) {
        double smooth = (context / wavelength - scaling.lowFreq) /
                        (scaling.highFreq - scaling.lowFreq);
        f = (1 - smooth) * f / scaling.factor + smooth * f;
      }
    }
    break;
  }
  case RopeScaling::Kind::Yarn: {
    auto correction = [&](double rotations) {
      return headDim *
             std::log(scaling.originalContext / (rotations * 2 * pi)) /
             (2 * std::log(theta));
    };
    double low = correction(scaling.betaFast);
    double high = correction(scaling.betaSlow);
    if (scaling.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, static_cast<double>(headDim - 1));
    if (low == high)
      high += 0.001;
    for (int64_t i = 0; i < half; ++i) {
      double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
      frequencies[i] =
          frequencies[i] / scaling.factor * ramp + frequencies[i] * (1 - ramp);
    }
    break;
  }
  }
  return frequencies;
}

int64_t ModelSpec::dim(llvm::StringRef name) const {
  auto it = dims.find(name.str());
  assert(it != dims.end() && "no such dim");
  return it->second.value;
}

const Param *ModelSpec::findParam(llvm::StringRef name) const {
  for (const Param &param : params)
    if (param.name == name)
      return &param;
  return nullptr;
}

const Param &ModelSpec::param(llvm::StringRef name) const {
  const Param *param = findParam(name);
  assert(param && "no such parameter");
  return *param;
}

int64_t ModelSpec::numParameters() const {
  int64_t count = 0;
  for (const Param &param : params)
    count += param.numElements() * (param.perLayer ? dim("layers") : 1);
  return count;
}

int64_t ModelSpec::numEmbeddingParameters() const {
  int64_t count = 0;
  for (const Param &param : params)
    if (param.lookup)
      count += param.numElements() * (param.perLayer ? dim("layers") : 1);
  return count;
}

FlopCounts ModelSpec::flopsPerToken() const {
  // Saturating: hostile dims must not wrap.
  using Wide = __int128;
  Wide matmul = 0, attention = 0, causal = 0;
  for (const Graph *graph : {&block, &model}) {
    int64_t repeat = graph == &block ? dim("layers") : 1;
    for (const GraphOp &op : graph->ops) {
      if (op.kind == OpKind::Linear)
        matmul += Wide(param(op.weight).numElements()) * repeat;
      if (op.kind != OpKind::Attention)
        continue;
      // All T keys, and twice the keys that a query sees on average.
      Wide width = Wide(op.heads) * op.headDim * repeat;
      Wide t = trainSequence, window = op.window ? op.window : t;
      window = std::min(window, t);
      attention += width * t;
      causal += width * (2 * window - window * window / t);
    }
  }
  auto clamp = [](Wide value) {
    return static_cast<int64_t>(std::min(value, Wide(INT64_MAX)));
  };
  return {clamp(2 * matmul + 4 * attention), clamp(6 * matmul + 12 * attention),
          clamp(6 * matmul + 6 * causal)};
}
