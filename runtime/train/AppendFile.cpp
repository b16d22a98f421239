//===- AppendFile.cpp - A log that outlives a full disk -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/AppendFile.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

using namespace qrt;

namespace {
constexpr size_t maxPending = size_t(64) << 20;
} // namespace

AppendFile::~AppendFile() {
  if (fd >= 0)
    ::close(fd);
}

Status AppendFile::open(const std::string &name) {
  path = name;
  // A limit on file sizes is an error to report, not a reason to die.
  struct sigaction current;
  if (::sigaction(SIGXFSZ, nullptr, &current) == 0 &&
      !(current.sa_flags & SA_SIGINFO) && current.sa_handler == SIG_DFL)
    ::signal(SIGXFSZ, SIG_IGN);
  fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0)
    return makeError(8005, path, "cannot write: {}", std::strerror(errno));
  return Status::success();
}

Status AppendFile::flush() {
  while (!pending.empty()) {
    ssize_t written = ::write(fd, pending.data(), pending.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return makeError(8005, path, "cannot write: {}", std::strerror(errno));
    pending.erase(0, static_cast<size_t>(written));
  }
  return Status::success();
}

Status AppendFile::append(std::string_view text) {
  pending += text;
  Status status = flush();
  if (!status && pending.size() < maxPending)
    return Status::success();
  return status;
}
