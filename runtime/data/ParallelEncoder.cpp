//===- ParallelEncoder.cpp - Text to tokens on all cores ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/data/ParallelEncoder.h"
#include "runtime/data/Documents.h"

#include <algorithm>

namespace qrt {

ParallelEncoder::ParallelEncoder(const Tokenizer &tokenizer, int threads)
    : tokenizer(tokenizer) {
  for (int i = 0; i < std::max(threads, 1); ++i)
    workers.emplace_back([this] { work(); });
}

ParallelEncoder::~ParallelEncoder() {
  {
    std::lock_guard<std::mutex> guard(lock);
    stopping = true;
  }
  hasWork.notify_all();
  for (std::thread &worker : workers)
    worker.join();
}

void ParallelEncoder::submit(TextChunk chunk) {
  auto job = std::make_unique<Job>();
  job->chunk = std::move(chunk);
  {
    std::lock_guard<std::mutex> guard(lock);
    open.push_back(job.get());
  }
  jobs.push_back(std::move(job));
  hasWork.notify_one();
}

Expected<std::vector<EncodedPart>> ParallelEncoder::take() {
  std::unique_ptr<Job> job = std::move(jobs.front());
  jobs.pop_front();
  {
    std::unique_lock<std::mutex> guard(lock);
    hasResult.wait(guard, [&] { return job->done; });
  }
  if (!job->status)
    return job->status.error();
  return std::move(job->parts);
}

void ParallelEncoder::work() {
  std::unique_ptr<StreamEncoder> encoder = tokenizer.encoder();
  std::unique_lock<std::mutex> guard(lock);
  for (;;) {
    hasWork.wait(guard, [&] { return stopping || !open.empty(); });
    if (stopping)
      return;
    Job *job = open.front();
    open.pop_front();
    guard.unlock();
    Status status = encode(*job, *encoder);
    guard.lock();
    job->status = std::move(status);
    job->done = true;
    hasResult.notify_one();
  }
}

Status ParallelEncoder::encode(Job &job, StreamEncoder &encoder) const {
  const TextChunk &chunk = job.chunk;
  auto append = [&](std::string_view text, EncodedPart &part) -> Status {
    part.textBytes += text.size();
    QRT_RETURN_IF_ERROR(encoder.feed(text, part.ids));
    return encoder.finish(part.ids);
  };
  if (!chunk.lines) {
    EncodedPart part;
    part.endsDocument = chunk.endsDocument;
    part.ids.reserve(chunk.text.size() / 3);
    QRT_RETURN_IF_ERROR(append(chunk.text, part));
    job.parts.push_back(std::move(part));
    return {};
  }
  uint64_t number = chunk.firstLine;
  std::string_view rest = chunk.text;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    QRT_ASSIGN_OR_RETURN(auto document,
                         parseLine(rest.substr(0, end),
                                   fmt::format("{}:{}", chunk.path, number++)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!document)
      continue;
    EncodedPart part;
    part.endsDocument = true;
    if (document->hasPrompt) {
      QRT_RETURN_IF_ERROR(append(document->prompt, part));
      part.prompt = part.ids.size();
    }
    QRT_RETURN_IF_ERROR(append(document->text, part));
    job.parts.push_back(std::move(part));
  }
  return {};
}

} // namespace qrt
