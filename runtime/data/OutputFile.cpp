//===- OutputFile.cpp - A file that appears only when it is whole ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/data/OutputFile.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace qrt {

namespace {
constexpr size_t bufferBytes = size_t(1) << 20;
} // namespace

Expected<std::unique_ptr<OutputFile>>
OutputFile::create(const std::string &path) {
  auto out = std::unique_ptr<OutputFile>(new OutputFile);
  size_t slash = path.rfind('/');
  size_t name = slash == std::string::npos ? 0 : slash + 1;
  out->path = path;
  out->temporary = path.substr(0, name) + "." + path.substr(name) + ".tmp";
  out->fd = ::open(out->temporary.c_str(),
                   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (out->fd < 0)
    return out->failed("create");
  return out;
}

OutputFile::~OutputFile() {
  if (fd < 0)
    return;
  ::close(fd);
  ::unlink(temporary.c_str());
}

Error OutputFile::failed(const char *what) const {
  return makeError(5008, path, "cannot {} the file: {}", what,
                   std::strerror(errno));
}

Status OutputFile::drain() {
  std::string_view rest = buffer;
  while (!rest.empty()) {
    ssize_t n = ::write(fd, rest.data(), rest.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return failed("write");
    rest.remove_prefix(size_t(n));
  }
  buffer.clear();
  return {};
}

Status OutputFile::write(std::string_view bytes) {
  buffer += bytes;
  return buffer.size() >= bufferBytes ? drain() : Status();
}

Status OutputFile::flush() {
  QRT_RETURN_IF_ERROR(drain());
  // Some file systems have no fsync; the data is written all the same.
  if (::fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
    return failed("write");
  return {};
}

Status OutputFile::commit() {
  QRT_RETURN_IF_ERROR(flush());
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return failed("rename");
  ::close(fd);
  fd = -1;
  return {};
}

} // namespace qrt
