//===- SafetensorsWriter.cpp - Whole files or none ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/weights/Printable.h"
#include "runtime/weights/Safetensors.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

namespace qrt {

namespace {

/// A new file under a temporary name beside its final one. It disappears again
/// unless it is committed.
class TemporaryFile {
public:
  ~TemporaryFile() {
    if (fd >= 0)
      ::close(fd);
    if (!temporary.empty())
      ::unlink(temporary.c_str());
  }

  Status create(const std::string &path) {
    // A limit on file sizes is an error to report, not a reason to die.
    struct sigaction current;
    if (::sigaction(SIGXFSZ, nullptr, &current) == 0 &&
        !(current.sa_flags & SA_SIGINFO) && current.sa_handler == SIG_DFL)
      ::signal(SIGXFSZ, SIG_IGN);
    target = path;
    size_t slash = path.rfind('/');
    size_t base = slash == std::string::npos ? 0 : slash + 1;
    std::string name = fmt::format("{}.{}.{}.tmp", path.substr(0, base),
                                   path.substr(base), ::getpid());
    // A file of this name can only be what a killed process of the same number
    // left.
    ::unlink(name.c_str());
    fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
      return fail("cannot create the file");
    temporary = name;
    return Status::success();
  }

  /// Takes the space at once, so that a disk without room is noticed before the
  /// work. File systems that cannot do this are fine too.
  Status reserve(uint64_t bytes) {
    if (bytes == 0 || ::fallocate(fd, 0, 0, static_cast<off_t>(bytes)) == 0 ||
        (errno != ENOSPC && errno != EFBIG && errno != EDQUOT))
      return Status::success();
    return makeError(3030, target, "cannot write {} bytes: {}", bytes,
                     std::strerror(errno));
  }

  Status write(const void *data, uint64_t bytes) {
    const char *from = static_cast<const char *>(data);
    while (bytes > 0) {
      ssize_t done =
          ::write(fd, from, std::min<uint64_t>(bytes, uint64_t(1) << 30));
      if (done < 0 && errno == EINTR)
        continue;
      if (done <= 0)
        return fail("cannot write");
      from += done;
      bytes -= static_cast<uint64_t>(done);
    }
    return Status::success();
  }

  Status commit() {
    if (::fsync(fd) != 0)
      return fail("cannot write");
    int closed = ::close(fd);
    fd = -1;
    if (closed != 0)
      return fail("cannot write");
    if (::rename(temporary.c_str(), target.c_str()) != 0)
      return fail("cannot rename the finished file");
    temporary.clear();
    return Status::success();
  }

private:
  Error fail(const char *what) {
    return makeError(3030, target, "{}: {}", what, std::strerror(errno));
  }

  std::string target, temporary;
  int fd = -1;
};

/// The header with padding, and the offset of each tensor's data in it.
Expected<std::string>
buildHeader(const std::string &path, const std::vector<OutputTensor> &tensors,
            const std::map<std::string, std::string> &metadata) {
  // Written by hand so that the entries keep the order of the data.
  std::string header = "{";
  if (!metadata.empty())
    header += "\"__metadata__\":" + jsonText(nlohmann::json(metadata));
  std::set<std::string> names;
  uint64_t offset = 0;
  for (const OutputTensor &t : tensors) {
    if (safetensorsBits(t.dtype) == 0 || t.name == "__metadata__" ||
        !isUtf8(t.name) || !names.insert(t.name).second)
      return makeError(3002, path,
                       "tensor '{}' of dtype '{}' cannot be written: the name "
                       "or the dtype is not possible",
                       printable(t.name), t.dtype);
    uint64_t bytes = t.bytes();
    if (header.size() > 1)
      header += ',';
    header += fmt::format(
        "{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
        jsonText(nlohmann::json(t.name)), t.dtype, fmt::join(t.shape, ","),
        offset, offset + bytes);
    offset += bytes;
  }
  header += '}';
  // The data begins at a multiple of 64, so that a mapped file is aligned.
  while ((8 + header.size()) % 64 != 0)
    header += ' ';
  return header;
}

Status writeData(TemporaryFile &file, const OutputTensor &t,
                 std::string &buffer) {
  uint64_t bytes = t.bytes();
  if (bytes == 0)
    return Status::success();
  if (t.data)
    return file.write(t.data, bytes);
  int64_t rows = t.shape.empty() ? 1 : t.shape[0];
  uint64_t rowBytes = bytes / static_cast<uint64_t>(rows);
  int64_t step = std::max<int64_t>(
      1, static_cast<int64_t>((uint64_t(4) << 20) / rowBytes));
  for (int64_t row = 0; row < rows; row += step) {
    int64_t end = std::min(rows, row + step);
    buffer.resize(static_cast<uint64_t>(end - row) * rowBytes);
    QRT_RETURN_IF_ERROR(t.produce(row, end, buffer.data()));
    QRT_RETURN_IF_ERROR(file.write(buffer.data(), buffer.size()));
  }
  return Status::success();
}

} // namespace

uint64_t OutputTensor::bytes() const {
  uint64_t bits = safetensorsBits(dtype);
  for (int64_t size : shape)
    bits *= static_cast<uint64_t>(size);
  return bits / 8;
}

Status writeSafetensors(const std::string &path,
                        const std::vector<OutputTensor> &tensors,
                        const std::map<std::string, std::string> &metadata) {
  QRT_ASSIGN_OR_RETURN(std::string header,
                       buildHeader(path, tensors, metadata));
  uint64_t total = 8 + header.size();
  for (const OutputTensor &t : tensors)
    total += t.bytes();

  TemporaryFile file;
  QRT_RETURN_IF_ERROR(file.create(path));
  QRT_RETURN_IF_ERROR(file.reserve(total));
  unsigned char length[8];
  for (int i = 0; i < 8; ++i)
    length[i] = static_cast<unsigned char>(header.size() >> (8 * i));
  QRT_RETURN_IF_ERROR(file.write(length, 8));
  QRT_RETURN_IF_ERROR(file.write(header.data(), header.size()));
  std::string buffer;
  for (const OutputTensor &t : tensors)
    QRT_RETURN_IF_ERROR(writeData(file, t, buffer));
  return file.commit();
}

Status writeFileAtomically(const std::string &path, std::string_view text) {
  TemporaryFile file;
  QRT_RETURN_IF_ERROR(file.create(path));
  QRT_RETURN_IF_ERROR(file.write(text.data(), text.size()));
  return file.commit();
}

} // namespace qrt
