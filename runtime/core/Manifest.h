//===- Manifest.h - What a module says about itself -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The typed form of the JSON document in a module's manifest section (described
// in runtime/abi/manifest.md). Reading it never executes the file. After
// parseManifest has succeeded, all sizes are positive and their products fit in
// int64, every name that is referred to exists, and slots do not overlap.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_MANIFEST_H
#define QWEN_RUNTIME_CORE_MANIFEST_H

#include "runtime/core/DType.h"
#include "runtime/core/Error.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace qrt {

/// How a parameter is filled when no weights are given.
struct InitInfo {
  enum class Kind { Zeros, Ones, Constant, Normal, Uniform };
  Kind kind = Kind::Zeros;
  double value = 0;         ///< Constant
  double mean = 0, std = 0; ///< Normal
  double low = 0, high = 0; ///< Uniform
};

/// Where (one layer of) a parameter lies in a weight file.
struct FileView {
  std::string name;               ///< with `{i}` for the layer
  std::vector<int64_t> fileShape; ///< of the whole tensor in the file
  bool transpose = false;         ///< the file holds (in, out)
  std::optional<std::pair<int64_t, int64_t>> slice; ///< axis, begin
  std::optional<int64_t> permuteHeads; ///< gguf llama: interleaved pairs
  bool alias = false; ///< read only if present, and must equal the parameter

  /// The tensor's name for one layer.
  std::string nameOfLayer(int64_t layer) const;
};

/// One prime factor of an axis of the mesh.
struct MeshAxisInfo {
  std::string axis; ///< "data", "tensor"
  int64_t size = 1;
};

/// For every dimension the sub-axes of the mesh (indices into
/// Manifest::meshAxes, major first) that cut it into equal blocks.
using Sharding = std::vector<std::vector<int>>;

/// One logical matrix (or one per layer).
struct ParameterInfo {
  std::string name;
  std::optional<int64_t> layers; ///< none: not in the layer stack
  std::vector<int64_t> shape;    ///< of one layer, (out, in)
  std::vector<std::string> axes;
  InitInfo init;
  int64_t group = 0; ///< parameter group of the optimizer
  int moments = 2;   ///< of the optimizer; Muon has one
  /// "master", "compute", and the parts of quantized forms (int8, int8_scale;
  /// int4, int4_step, int4_scale).
  std::map<std::string, DType> storages;
  /// Whether the compute storage is the master itself: of one type, and cut the
  /// same way.
  bool computeIsMaster = false;
  /// Whether the sum of devices' gradients takes the place of the summands.
  bool sumIsGradient = false;
  std::map<std::string, std::vector<FileView>> views; ///< "hf", "gguf"

  int64_t layerCount() const { return layers.value_or(1); }
  int64_t elementsPerLayer() const;
  /// Of one of its storages.
  int64_t elementsPerLayer(std::string_view storage) const;
  /// Dimensions of one layer of a storage.
  size_t rank(std::string_view storage) const;
  int64_t elements() const { return elementsPerLayer() * layerCount(); }
};

enum class ArgRole {
  Input,
  Output,
  Parameter,
  Gradient,
  GradientSum, ///< what devices' gradients add up to
  Moment1,
  Moment2,
  Cache,
  Mesh ///< a scalar that depends on the device alone
};
std::string_view nameOf(ArgRole role);

/// A size, or the index of one of the entry's extents.
struct DimInfo {
  int64_t size = 0;
  int extent = -1; ///< >= 0: index into EntryInfo::extents
};

/// One argument of an entry point: `count` consecutive slots of qrt_call.args.
struct ArgInfo {
  std::string name;
  ArgRole role = ArgRole::Input;
  std::string storage; ///< of role Parameter
  DType dtype = DType::F32;
  std::vector<DimInfo> shape;
  int64_t slot = 0, count = 1;
  bool donated = false;
  bool optional = false; ///< an input that may be left out (a null pointer)
  int parameter =
      -1; ///< index into Manifest::parameters, where the role has one
  /// How the logical tensor is cut: one list for each dimension, or empty. The
  /// shape is that of one block.
  Sharding sharding;
  /// Of a state: the logical value is the sum over these sub-axes.
  std::vector<int> partial;
  /// Of role Mesh: `meshScale` times the device's place along `meshAxes`.
  std::vector<int> meshAxes;
  int64_t meshScale = 1;

  bool isSharded() const {
    for (const std::vector<int> &axes : sharding)
      if (!axes.empty())
        return true;
    return false;
  }
};

/// A kind of state: a storage of the parameters, or another role that persists.
struct StateKind {
  ArgRole role = ArgRole::Parameter;
  std::string storage; ///< of role Parameter
};

struct ExtentInfo {
  std::string name;
  int64_t max = 1;
  int64_t multiple = 1; ///< of which sizes are whole multiples

  /// An error unless the entry point `entry` can be called with `value`.
  Status check(const std::string &entry, int64_t value) const;
};

struct EntryInfo {
  std::string name;
  std::vector<ExtentInfo> extents;
  int64_t arenaBytes = 0;
  int64_t slots = 0;
  std::vector<ArgInfo> args;

  const ArgInfo *findArg(ArgRole role, std::string_view name) const;
  /// -1: the entry has no such extent.
  int findExtent(std::string_view name) const;
  /// The maximum of an extent; 1 if there is none of this name.
  int64_t maxExtent(std::string_view name) const;
  /// Elements of one slot of `arg` at the given extents (or at the maxima).
  int64_t elements(const ArgInfo &arg, const int64_t *extents = nullptr) const;
};

/// The machine code of one instruction-set level.
struct VariantInfo {
  std::string level;
  std::vector<std::string> features; ///< LLVM's names of CPU features
};

struct TargetInfo {
  std::string target;
  int64_t workerScratchBytes = 0;
  /// Arenas of entries whose size on this target is not EntryInfo::arenaBytes.
  std::map<std::string, int64_t, std::less<>> arenaBytes;
  /// Where kernels come from, as `file.yaml:line:col`, by their names.
  std::map<std::string, std::string, std::less<>> kernelLocations;
  std::vector<VariantInfo> variants; ///< best first
};

/// What one parameter group has of its own; the rest is the optimizer's.
struct OptimizerGroupDefaults {
  std::string match; ///< of the parameters' names; empty: the rest
  bool muon = false;
  double lrScale = 1;
  std::optional<double> weightDecay, eps;
  std::optional<std::pair<double, double>> betas;
};

struct MuonDefaults {
  double lr = 0, momentum = 0, momentumStart = 0, weightDecay = 0, eps = 0;
  int64_t momentumWarmup = 0; ///< steps from momentumStart to momentum
  std::string scale;          ///< compiled in; lr belongs to it
};

struct OptimizerDefaults {
  std::string kind; ///< adamw, or muon for the matrices of layers
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, weightDecay = 0, clip = 0;
  MuonDefaults muon;
  /// Where the manifest names none: decayed and not decayed.
  std::vector<OptimizerGroupDefaults> groups;
  bool usesMuon() const;
};

struct ScheduleDefaults {
  std::string kind; ///< cosine, linear, constant, wsd, trapezoid
  int64_t warmup = 0;
  double minLr = 0, decay = 0.2;
  /// Exactly one of the horizons, or none.
  std::optional<int64_t> steps, tokens;
  std::optional<double> flops, tokensPerParameter;
};

/// A token file to train on.
struct DataEntry {
  std::string file;
  double weight = 0;  ///< part of the sequences, of all weights; 0: not given
  unsigned width = 0; ///< bytes of an id; 0: as the file says
};

/// What happens when a loss or a gradient is not finite.
enum class NonFinite { Stop, Skip };

/// The part of the YAML that acts at run time.
struct ManifestDefaults {
  struct {
    int64_t batch = 1, sequence = 1, accumulate = 1;
    uint64_t seed = 0;
    std::vector<DataEntry> data;
    bool documentMask = false; ///< attention stays inside of a document
    OptimizerDefaults optimizer;
    ScheduleDefaults schedule;
    NonFinite nonFinite = NonFinite::Stop;
    int64_t maxSkips = 10; ///< updates left out in a row
    double skipOutliers =
        0; ///< z-score of loss or norm from which on; 0: never
  } train;
  struct {
    int64_t every = 0, keep = 0; ///< every 0: only at the end; keep 0: all
    int64_t keepEvery = 0;       ///< those of every so many steps stay; 0: none
    bool best = false, async = true;
  } checkpoint;
  struct {
    int64_t every = 0, batches = 0;
    int64_t sampleEvery = 0, sampleTokens = 64;
    std::vector<std::string> samplePrompts;
  } eval;
  struct {
    int64_t every = 1;
  } log;
  struct {
    int64_t batch = 1, context = 1, prefill = 1;
  } infer;
};

struct Manifest {
  int64_t format = 0, abi = 0;
  std::string name, compiler, buildId;
  DType dtype = DType::F32; ///< compute type
  std::vector<std::pair<std::string, int64_t>> mesh;
  std::vector<MeshAxisInfo> meshAxes; ///< prime factors, major first
  std::string family;
  std::map<std::string, int64_t> dims; ///< whole dims only
  nlohmann::json hfConfig;
  ManifestDefaults defaults;
  struct {
    double forward = 0, train = 0, trainCausal = 0;
  } flopsPerToken;
  std::vector<TargetInfo> targets;
  std::vector<ParameterInfo> parameters;
  std::vector<EntryInfo> entries;
  nlohmann::json memory;
  nlohmann::json json; ///< the whole document, as it was read

  int findEntry(std::string_view name) const; ///< -1: none
  /// Whether the entry `name` reads a quantized form of some parameter.
  bool readsQuantizedWeights(std::string_view name) const;
  int findParameter(std::string_view name) const; ///< -1: none
  const TargetInfo *findTarget(std::string_view name) const;
  /// Number of parameters (elements, all layers).
  int64_t parameterCount() const;
  /// Rows of the optimizer's hyperparameters.
  int64_t groupCount() const;
  /// Rows of the vocabulary; 0 if the architecture has none.
  int64_t vocab() const;
};

/// Parses and checks the JSON text of a manifest. `where` names the file in
/// errors (Q6010..Q6013).
Expected<Manifest> parseManifest(std::string_view text,
                                 const std::string &where);

/// Reads the manifest of a module without executing it.
Expected<Manifest> readManifest(const std::string &path);

/// The bytes of one section of an ELF file in memory (x86-64, little endian,
/// shared object). Never reads outside `file`.
Expected<std::string_view> findElfSection(std::string_view file,
                                          std::string_view section,
                                          const std::string &where);

/// Checks that all that the dynamic loader would map lies inside the file: it
/// would map a cut-off file too, and touching it would raise a signal.
Status checkElfSegments(std::string_view file, const std::string &where);

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_MANIFEST_H
