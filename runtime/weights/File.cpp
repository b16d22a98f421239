//===- File.cpp - Read-only random access to one file ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/File.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace qrt {

Expected<std::shared_ptr<RandomAccessFile>>
RandomAccessFile::open(const std::string &path) {
  // A path with a NUL would silently open something else.
  if (path.find('\0') != std::string::npos)
    return makeError(3001, "", "a file name holds a NUL character");
  // O_NONBLOCK: opening a pipe without a writer must not hang.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return makeError(3001, path, "cannot open the file: {}",
                     std::strerror(errno));
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return makeError(3001, path, "not a regular file");
  }
  std::shared_ptr<RandomAccessFile> file(new RandomAccessFile);
  file->name = path;
  file->fd = fd;
  file->length = static_cast<uint64_t>(info.st_size);
  return file;
}

std::shared_ptr<RandomAccessFile>
RandomAccessFile::fromMemory(std::string bytes, std::string name) {
  std::shared_ptr<RandomAccessFile> file(new RandomAccessFile);
  file->name = std::move(name);
  file->memory = std::move(bytes);
  file->length = file->memory.size();
  return file;
}

RandomAccessFile::~RandomAccessFile() {
  if (mapping)
    munmap(mapping, length);
  if (fd >= 0)
    ::close(fd);
}

Status RandomAccessFile::read(uint64_t offset, void *to, uint64_t count) const {
  if (offset > length || count > length - offset)
    return makeError(3001, name,
                     "{} bytes at offset {} are not inside the file of {} "
                     "bytes",
                     count, offset, length);
  if (count == 0)
    return Status::success();
  if (fd < 0) {
    std::memcpy(to, memory.data() + offset, count);
    delivered += count;
    return Status::success();
  }
  auto *out = static_cast<char *>(to);
  uint64_t done = 0;
  while (done < count) {
    size_t part = std::min<uint64_t>(count - done, uint64_t(1) << 30);
    ssize_t got =
        pread(fd, out + done, part, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return makeError(3001, name, "cannot read: {}", std::strerror(errno));
    if (got == 0)
      return makeError(3001, name,
                       "the file became shorter while it was in use ({} bytes "
                       "when opened, nothing left at {})",
                       length, offset + done);
    done += static_cast<uint64_t>(got);
  }
  delivered += count;
  return Status::success();
}

Expected<const uint8_t *> RandomAccessFile::map() const {
  static const uint8_t nothing = 0;
  if (length == 0)
    return &nothing;
  if (fd < 0)
    return reinterpret_cast<const uint8_t *>(memory.data());
  std::lock_guard<std::mutex> guard(mapLock);
  if (!mapping) {
    void *address = mmap(nullptr, length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (address == MAP_FAILED)
      return makeError(3001, name, "cannot map the file: {}",
                       std::strerror(errno));
    mapping = address;
  }
  return static_cast<const uint8_t *>(mapping);
}

Expected<std::string> readSmallFile(const std::string &path,
                                    uint64_t maxBytes) {
  QRT_ASSIGN_OR_RETURN(auto file, RandomAccessFile::open(path));
  if (file->size() > maxBytes)
    return makeError(3001, path, "the file has {} bytes; at most {} are read",
                     file->size(), maxBytes);
  std::string text(file->size(), '\0');
  QRT_RETURN_IF_ERROR(file->read(0, text.data(), text.size()));
  return text;
}

} // namespace qrt
