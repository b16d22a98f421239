//===- Sockets.h - TCP connections ------------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_SOCKETS_H
#define QWEN_RUNTIME_COMM_SOCKETS_H

#include "runtime/core/Error.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace qrt {

/// A file descriptor that is closed with its owner.
class Socket {
public:
  explicit Socket(int descriptor = -1) : fd(descriptor) {}
  Socket(Socket &&other) noexcept : fd(other.release()) {}
  Socket &operator=(Socket &&other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  ~Socket();

  int get() const { return fd; }
  int release() { return std::exchange(fd, -1); }
  explicit operator bool() const { return fd >= 0; }

private:
  int fd;
};

/// A host's address and port, of either family; sent between processes.
struct Endpoint {
  sockaddr_storage place = {};

  int family() const { return place.ss_family; }
  int port() const;
  void setPort(int port);
  std::string str() const;
};

using TimePoint = std::chrono::steady_clock::time_point;
/// Milliseconds from now until `end`, at least 0.
int millisecondsUntil(TimePoint end);

struct Address {
  std::string host, port;
};
/// Reads HOST:PORT or [HOST]:PORT. Errors: Q9022.
Expected<Address> parseAddress(const std::string &text);
/// Its places. Errors: Q9022 (an unknown name).
Expected<std::vector<Endpoint>> resolve(const Address &address);

/// Listens at the first of `places` that is this machine's; at all of its
/// addresses if none is (names may stand for a way to here). Errors: Q9022.
Expected<Socket> listenAt(const std::vector<Endpoint> &places, int backlog);
/// Where a socket is bound, and who is at the other end.
Endpoint localEndpoint(int socket);
Endpoint remoteEndpoint(int socket);

/// One attempt; none: nobody answers (yet).
Socket tryConnect(const Endpoint &place, TimePoint deadline);
/// The next who comes; none: nobody until then.
Socket acceptUntil(int listener, TimePoint deadline);

/// Sends or receives all bytes of a connection in blocking use; false: it was
/// closed, or the time is over.
bool sendAll(int socket, const void *data, size_t bytes, TimePoint deadline);
bool receiveAll(int socket, void *data, size_t bytes, TimePoint deadline);

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_SOCKETS_H
