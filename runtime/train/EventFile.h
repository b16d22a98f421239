//===- EventFile.h - TensorBoard's event files -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The little of the format that a training run needs: records of TFRecord
// (length, its checksum, data, its checksum; CRC-32C, masked) that hold
// protocol buffers of the message Event with scalars and texts.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_EVENTFILE_H
#define QWEN_RUNTIME_TRAIN_EVENTFILE_H

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qrt {

/// CRC-32C (Castagnoli, reflected), as in RFC 3720.
uint32_t crc32c(std::string_view bytes);

/// The first record of every file.
std::string eventFileHeader(double wallTime);

/// Tells readers that a run goes on behind a checkpoint: what they have seen of
/// `step` and later steps did not happen.
std::string eventRestart(double wallTime, int64_t step);

/// Scalars of one step, by tag.
std::string
eventScalars(double wallTime, int64_t step,
             const std::vector<std::pair<std::string, float>> &values);

/// A text (Markdown) of one step.
std::string eventText(double wallTime, int64_t step, std::string_view tag,
                      std::string_view text);

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_EVENTFILE_H
