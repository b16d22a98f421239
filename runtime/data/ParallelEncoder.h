//===- ParallelEncoder.h - Text to tokens on all cores ----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_DATA_PARALLELENCODER_H
#define QWEN_RUNTIME_DATA_PARALLELENCODER_H

#include "runtime/core/Error.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace qrt {

/// A stretch of text for one thread: lines of a .jsonl file, or a part of a
/// document that can be encoded on its own (Tokenizer::lastCut).
struct TextChunk {
  std::string text;
  bool lines = false;
  bool endsDocument = false; ///< of text that is not lines
  std::string path;          ///< for messages
  uint64_t firstLine = 1;
};

/// A document, or a part of one, in tokens.
struct EncodedPart {
  std::vector<TokenId> ids;
  uint64_t textBytes = 0;
  size_t prompt = 0; ///< of the ids, those that are not learnt
  bool endsDocument = false;
};

/// Encodes chunks on threads; results come in the order of the chunks. Memory
/// is bounded: some chunks a thread.
class ParallelEncoder {
public:
  ParallelEncoder(const Tokenizer &tokenizer, int threads);
  ~ParallelEncoder();
  ParallelEncoder(const ParallelEncoder &) = delete;
  ParallelEncoder &operator=(const ParallelEncoder &) = delete;

  void submit(TextChunk chunk);
  /// Chunks whose results were not taken yet.
  size_t waiting() const { return jobs.size(); }
  bool isFull() const { return jobs.size() >= 3 * workers.size() + 1; }
  /// The parts of the oldest chunk. Errors: Q5004, Q4007. waiting() > 0.
  Expected<std::vector<EncodedPart>> take();

private:
  struct Job {
    TextChunk chunk;
    std::vector<EncodedPart> parts;
    Status status;
    bool done = false;
  };
  void work();
  Status encode(Job &job, StreamEncoder &encoder) const;

  const Tokenizer &tokenizer;
  std::deque<std::unique_ptr<Job>> jobs; // touched by the owner's thread only
  std::mutex lock;
  std::condition_variable hasWork, hasResult;
  std::deque<Job *> open; // not begun
  bool stopping = false;
  std::vector<std::thread> workers;
};

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_PARALLELENCODER_H
