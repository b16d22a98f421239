//===- Checkpoint.h - Saving and resuming a training run --------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A run's directory OUT holds step-NNNNNN directories, each one a Hugging Face
// directory plus optimizer.safetensors, trainer.json and COMPLETE, and the
// relative links `latest` and `best`. A checkpoint is made under a name that
// begins with a dot and renamed when everything is on the disk: at no moment
// does an interrupted save cost an older checkpoint or leave a broken one under
// a real name.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_CHECKPOINT_H
#define QWEN_RUNTIME_WEIGHTS_CHECKPOINT_H

#include "runtime/core/Error.h"
#include "runtime/core/Manifest.h"
#include "runtime/weights/Parameters.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace qrt {

/// What trainer.json holds: where training stands.
struct TrainerState {
  int64_t step = 0;      ///< finished updates
  int64_t sequences = 0; ///< consumed so far
  int64_t tokens = 0;    ///< consumed so far
  uint64_t seed = 0;
  nlohmann::json extra = nlohmann::json::object(); ///< the trainer's own
};

/// Everything that a checkpoint is made of.
struct CheckpointData {
  const std::vector<ParameterInfo> *parameters = nullptr;
  ConstParameterPointer weights;
  /// Empty: no optimizer.safetensors.
  ConstParameterPointer moment1, moment2;
  nlohmann::json hfConfig; ///< config.json
  /// generation_config.json; null: the token ids of hfConfig.
  nlohmann::json generationConfig;
  /// Further files by name, such as tokenizer.json.
  std::map<std::string, std::string> files;
  TrainerState trainer;
};

/// The largest model file; more weights are split into shards with an index.
constexpr uint64_t defaultShardBytes = 5'000'000'000;

/// Writes OUT/step-NNNNNN (replacing a checkpoint of the same step) and lets
/// OUT/latest point to it. Removes what interrupted saves have left. Returns
/// the directory's name, "step-NNNNNN". Errors: Q3030; then OUT is as before.
Expected<std::string> saveCheckpoint(const std::string &out,
                                     const CheckpointData &data,
                                     uint64_t shardBytes = defaultShardBytes);

/// Replaces the relative link OUT/`link` ("best", "latest") atomically.
Status linkCheckpoint(const std::string &out, const std::string &link,
                      const std::string &name);

/// Deletes all but the newest `keep` complete checkpoints of OUT (0: deletes
/// none), never what `best` or `latest` point to, and never those whose step is
/// a multiple of `keepEvery` (0: none is), which do not count either.
Status pruneCheckpoints(const std::string &out, int64_t keep,
                        int64_t keepEvery = 0);

/// Whether `dir` is a whole checkpoint: COMPLETE is there and every file listed
/// in it has its size. Error: Q3031 with the reason.
Status checkCheckpoint(const std::string &dir);

/// The path of the whole checkpoint with the largest step in OUT; nothing if
/// there is none. `ignored` receives why newer ones were passed over.
Expected<std::optional<std::string>>
findLatestComplete(const std::string &out,
                   std::vector<std::string> *ignored = nullptr);

/// Reads DIR/trainer.json. Errors: Q3001, Q3005, Q3032.
Expected<TrainerState> readTrainerState(const std::string &dir);

/// Opens DIR/optimizer.safetensors, with tensors moment1.NAME and moment2.NAME.
Expected<std::unique_ptr<WeightSource>> openMoments(const std::string &dir);

/// Reads all of them. Errors as loadParameters.
Status loadMoments(const std::string &dir,
                   const std::vector<ParameterInfo> &parameters,
                   const ParameterPointer &moment1,
                   const ParameterPointer &moment2,
                   const ParallelTasks &parallel = {});

/// The tensors of model files, split so that none is larger than `shardBytes`
/// unless a single tensor is, and the index; written into `dir`.
Status writeModelFiles(const std::string &dir,
                       const std::vector<OutputTensor> &tensors,
                       uint64_t shardBytes = defaultShardBytes);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_CHECKPOINT_H
