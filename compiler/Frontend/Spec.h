//===- Spec.h - A model file, resolved and checked --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a YAML file (or a Hugging Face directory) means once `extends`,
// overrides, arithmetic, conditions and tying are resolved. No MLIR here. The
// architecture is data: nothing in this library knows the name of a family.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FRONTEND_SPEC_H
#define QWEN_COMPILER_FRONTEND_SPEC_H

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

namespace qwen {

/// A place in a model file; line and column count from 1, 0 means unknown.
struct SourceLoc {
  std::string file;
  unsigned line = 0;
  unsigned col = 0;

  /// `file:line:col`, or what of it is known.
  std::string str() const;
};

/// A user error in a model file: `file:line:col: error: message [Q1nnn]`.
class SpecError : public llvm::ErrorInfo<SpecError> {
public:
  static char ID;
  SpecError(int code, SourceLoc loc, std::string message)
      : code(code), loc(std::move(loc)), message(std::move(message)) {}

  void log(llvm::raw_ostream &os) const override;
  std::error_code convertToErrorCode() const override;

  int code;
  SourceLoc loc;
  std::string message;
};

/// An error at `loc` with code `Q<code>`.
llvm::Error makeSpecError(int code, const SourceLoc &loc,
                          const llvm::Twine &message);

enum class DType { F32, BF16 };
/// `f32` or `bf16`.
llvm::StringRef stringifyDType(DType dtype);

struct Dim {
  int64_t value = 0;
  SourceLoc loc;
};

/// One logical axis: a product of dims, as `heads*head_dim`.
struct Axis {
  std::vector<std::string> factors;
  std::vector<int64_t> sizes; // of each factor
  int64_t size = 1;

  /// `heads*head_dim`.
  std::string str() const;
  /// The factor that rules of sharding are for; empty for a size without name.
  std::string major() const {
    return factors.empty() ? std::string() : factors.front();
  }
  bool operator==(const Axis &other) const { return factors == other.factors; }
};

/// How a parameter starts. Normal: first = mean, second = std. Uniform: first
/// = low, second = high. Constant: first.
struct Init {
  enum class Kind { Zeros, Ones, Constant, Normal, Uniform };
  Kind kind = Kind::Zeros;
  double first = 0;
  double second = 0;
};

/// How a parameter lies in a file. `name` holds `{i}` for the layer.
struct FileView {
  struct Slice {
    unsigned axis = 0;
    int64_t begin = 0;
  };
  std::string name;
  std::vector<int64_t> fileShape;      // of the file's tensor
  bool transpose = false;              // the file holds (in, out)
  std::optional<Slice> slice;          // of the file's tensor
  std::optional<int64_t> permuteHeads; // rows are interleaved RoPE pairs
  bool alias = false; // read only if present, must equal the parameter
};

/// One logical matrix (out, in) or vector; of one layer if perLayer.
struct Param {
  std::string name;
  bool perLayer = false;
  bool lookup = false; // used as a lookup table by some op
  bool matmul = false; // used as the weight of some linear op
  std::vector<Axis> axes;
  Init init;
  bool decays = true; // unless its group says otherwise
  unsigned group = 0; // of the optimizer: index into Optimizer::groups
  // Logical axis -> mesh axis, where `parallel.parameters` gives it its own.
  std::optional<std::map<std::string, std::string>> rules;
  // Per format (`hf`, `gguf`, ...): the first non-alias view is the one saved.
  std::map<std::string, std::vector<FileView>> views;
  SourceLoc loc;

  std::vector<int64_t> shape() const;
  int64_t numElements() const; // of one layer
};

struct RopeScaling {
  enum class Kind { None, Linear, Llama3, Yarn };
  Kind kind = Kind::None;
  double factor = 1;
  int64_t originalContext = 0;        // llama3, yarn
  double lowFreq = 1, highFreq = 4;   // llama3
  double betaFast = 32, betaSlow = 1; // yarn
  double attentionFactor = 1;         // yarn: multiplies cos and sin
  bool truncate = true;               // yarn: whole correction bounds
};

struct Rope {
  double theta = 10000;
  RopeScaling scaling;

  /// The headDim / 2 inverse frequencies after scaling.
  std::vector<double> inverseFrequencies(int64_t headDim) const;
};

enum class OpKind {
  Embedding,         // table[weight][tokens]
  PositionEmbedding, // in + weight[position]
  RmsNorm,           // weight optional; perHead: over each head
  LayerNorm,
  Linear,     // in * weight^T + bias
  Rope,       // per head
  Attention,  // inputs q, k, v
  Glu,        // activation(gate) * up; inputs gate, up
  Activation, // elementwise
  Softcap,    // value * tanh(in / value)
  Add,        // inputs a, b (also the end of a residual)
  Layers,     // the block, dims.layers times
};
/// The name in a model file, as `rms_norm`.
llvm::StringRef stringifyOpKind(OpKind kind);

enum class SpecActivation { Silu, Gelu, GeluTanh, Relu2 };
llvm::StringRef stringifyActivation(SpecActivation kind);

/// One op. Values are numbered: 0 is the graph's input, i + 1 the result of
/// ops[i]. Residuals are flattened to Add.
struct GraphOp {
  OpKind kind;
  std::vector<unsigned> inputs;
  std::string as;     // the name given to the result, may be empty
  std::string weight; // name of a Param (tying resolved), or empty
  std::string bias;   // name of a Param, or empty
  double eps = 0;     // norms
  bool perHead = false;
  Rope rope;                                   // Rope
  bool inverse = false;                        // Rope: rotate by -theta
  bool causal = true;                          // Attention
  double scale = 0;                            // Attention: on q k^T
  int64_t window = 0;                          // Attention: keys seen; 0: all
  int64_t heads = 0, kvHeads = 0, headDim = 0; // Rope, Attention, per-head norm
  SpecActivation activation = SpecActivation::Silu; // Glu, Activation
  double value = 0;                                 // Softcap
  SourceLoc loc;
};

/// A straight-line graph; the result is that of the last op.
struct Graph {
  std::vector<GraphOp> ops;
  std::vector<Axis> values; // feature axis of each value ([0] of a model: none)
  SourceLoc loc;
};

/// Parameters that share what the optimizer does with them. Without a value of
/// its own a group has the optimizer's (Muon: that of Muon).
struct OptimizerGroup {
  std::string match; // of the parameters' names; empty: the rest
  bool muon = false;
  double lrScale = 1;
  std::optional<double> weightDecay, eps;
  std::optional<std::pair<double, double>> betas;

  bool operator==(const OptimizerGroup &other) const {
    return std::tie(match, muon, lrScale, weightDecay, eps, betas) ==
           std::tie(other.match, other.muon, other.lrScale, other.weightDecay,
                    other.eps, other.betas);
  }
};

struct Muon {
  double lr = 0, momentum = 0, weightDecay = 0, eps = 0;
  // Where momentum begins, and the steps until it has its value.
  double momentumStart = 0;
  int64_t momentumWarmup = 0;
  bool nesterov = true;
  int64_t steps = 5; // of the iteration
  std::string scale; // shape_scaling | spectral | unit_rms_norm | ...
};

struct Optimizer {
  std::string kind = "adamw"; // adamw | muon (matrices of layers; else AdamW)
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, weightDecay = 0, clip = 0;
  Muon muon;
  std::vector<OptimizerGroup> groups; // the first two: AdamW with and without
                                      // decay
  bool usesMuon() const;
};

struct Schedule {
  std::string kind;   // cosine | linear | constant | wsd | trapezoid
  int64_t warmup = 0; // steps
  double minLr = 0;
  double decay = 0.2;  // of wsd and trapezoid, part of all steps
  std::string horizon; // steps | tokens | flops | tokens_per_parameter
  double length = 0;   // in the horizon's unit; 0 with no horizon
};

struct FlopCounts {
  int64_t forward = 0, train = 0, trainCausal = 0;
};

/// A resolved model.
struct ModelSpec {
  std::string name;   // of the preset file, without extension
  std::string family; // free text of the YAML
  std::map<std::string, Dim> dims;
  DType dtype = DType::BF16;
  bool tieEmbeddings = false;
  double normEps = 1e-6;
  Rope rope;
  int64_t window = 0; // keys that a query sees; 0: all before it

  std::vector<Param> params; // in file order, model's first, then the block's
  Graph block;
  Graph model;

  // Order matters: the mesh's axes from outermost to innermost.
  std::vector<std::pair<std::string, int64_t>> mesh;
  std::map<std::string, std::string> rules; // logical axis -> mesh axis
  int64_t zero = 0;
  DType reduceDType = DType::BF16;
  bool padHeads = false;
  bool sequenceResidual = false;
  std::optional<int64_t> memoryBudget; // bytes per device

  int64_t trainBatch = 0, trainSequence = 0, trainAccumulate = 1, seed = 0;
  double zLoss = 0; // weight of the squared log-sum-exp in the loss
  Optimizer optimizer;
  Schedule schedule;
  int64_t inferBatch = 0, inferContext = 0, inferPrefill = 0;
  std::string inferWeights; // dtype of the weights that inference reads
  std::vector<int64_t> eos; // ids that end a text; may be empty

  // The manifest's "defaults" and "architecture"."hf_config".
  llvm::json::Object defaults;
  llvm::json::Object hfConfig;

  /// The value of a dim that is known to exist.
  int64_t dim(llvm::StringRef name) const;
  const Param *findParam(llvm::StringRef name) const;
  const Param &param(llvm::StringRef name) const;

  /// All parameters, tied ones once.
  int64_t numParameters() const;
  /// Those of lookup tables, once.
  int64_t numEmbeddingParameters() const;
  FlopCounts flopsPerToken() const;
};

struct LoadOptions {
  /// `key=value` as of --set, in order.
  std::vector<std::string> overrides;
};

/// Reads a YAML file or a Hugging Face directory (or its config.json). Every
/// failure is a SpecError.
llvm::Expected<ModelSpec> loadModel(llvm::StringRef path,
                                    const LoadOptions &options = {});

/// Reads a model from text; `file` is its name in messages and `extends` finds
/// presets only.
llvm::Expected<ModelSpec> loadModelFromString(llvm::StringRef text,
                                              llvm::StringRef file,
                                              const LoadOptions &options = {});

/// The manifest's "architecture", "defaults" and "parameters" (and nothing
/// else), keys sorted.
llvm::json::Object manifestArchitecture(const ModelSpec &spec);
llvm::json::Object manifestDefaults(const ModelSpec &spec);
llvm::json::Array manifestParameters(const ModelSpec &spec);

} // namespace qwen

#endif // QWEN_COMPILER_FRONTEND_SPEC_H
