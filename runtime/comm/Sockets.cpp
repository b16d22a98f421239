//===- Sockets.cpp - TCP connections --------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// No socket blocks: functions that wait do so in poll, until a deadline.
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Sockets.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

using namespace qrt;

namespace {

void setOption(int socket, int level, int name, int value) {
  setsockopt(socket, level, name, &value, sizeof value);
}

Socket openSocket(int family) {
  return Socket(
      ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/// Messages are small and waited for; a machine that is gone is noticed.
void tune(int socket) {
  setOption(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  setOption(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  setOption(socket, IPPROTO_TCP, TCP_KEEPIDLE, 5);
  setOption(socket, IPPROTO_TCP, TCP_KEEPINTVL, 1);
  setOption(socket, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

template <typename Place> Place &as(Endpoint &place) {
  return reinterpret_cast<Place &>(place.place);
}
template <typename Place> const Place &as(const Endpoint &place) {
  return reinterpret_cast<const Place &>(place.place);
}

socklen_t sizeOf(const Endpoint &place) {
  return place.family() == AF_INET6 ? sizeof(sockaddr_in6)
                                    : sizeof(sockaddr_in);
}

/// All addresses of this machine, and the port of `place`.
Endpoint anywhere(Endpoint place) {
  if (place.family() == AF_INET6)
    as<sockaddr_in6>(place).sin6_addr = in6addr_any;
  else
    as<sockaddr_in>(place).sin_addr.s_addr = htonl(INADDR_ANY);
  return place;
}

bool waitFor(int socket, short events, TimePoint deadline) {
  pollfd entry = {socket, events, 0};
  int ready;
  do
    ready = poll(&entry, 1, millisecondsUntil(deadline));
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

} // namespace

Socket::~Socket() {
  if (fd >= 0)
    close(fd);
}

int qrt::millisecondsUntil(TimePoint end) {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(
      end - std::chrono::steady_clock::now());
  return static_cast<int>(
      std::clamp<int64_t>(left.count(), 0, int64_t(1) << 30));
}

int Endpoint::port() const {
  return ntohs(family() == AF_INET6 ? as<sockaddr_in6>(*this).sin6_port
                                    : as<sockaddr_in>(*this).sin_port);
}

void Endpoint::setPort(int port) {
  if (family() == AF_INET6)
    as<sockaddr_in6>(*this).sin6_port = htons(static_cast<uint16_t>(port));
  else
    as<sockaddr_in>(*this).sin_port = htons(static_cast<uint16_t>(port));
}

std::string Endpoint::str() const {
  char text[INET6_ADDRSTRLEN] = "";
  bool isV6 = family() == AF_INET6;
  const void *address =
      isV6 ? static_cast<const void *>(&as<sockaddr_in6>(*this).sin6_addr)
           : &as<sockaddr_in>(*this).sin_addr;
  inet_ntop(family(), address, text, sizeof text);
  return isV6 ? fmt::format("[{}]:{}", text, port())
              : fmt::format("{}:{}", text, port());
}

Expected<Address> qrt::parseAddress(const std::string &text) {
  Address address;
  size_t colon = text.rfind(':');
  address.host = text.substr(0, colon);
  if (colon != std::string::npos)
    address.port = text.substr(colon + 1);
  std::string &host = address.host;
  const std::string &port = address.port;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  int number = 0;
  auto [end, failure] =
      std::from_chars(port.data(), port.data() + port.size(), number);
  if (host.empty() || failure != std::errc() ||
      end != port.data() + port.size() || number < 1 || number > 65535)
    return makeError(9022, "",
                     "'{}' is no address of a rendezvous: expected HOST:PORT "
                     "with a port from 1 to 65535",
                     text);
  return address;
}

Expected<std::vector<Endpoint>> qrt::resolve(const Address &address) {
  addrinfo hints = {}, *list = nullptr;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  if (int code = getaddrinfo(address.host.c_str(), address.port.c_str(), &hints,
                             &list))
    return makeError(9022, "", "the host '{}' is unknown: {}", address.host,
                     gai_strerror(code));
  std::vector<Endpoint> places;
  for (addrinfo *entry = list; entry; entry = entry->ai_next) {
    Endpoint place;
    std::memcpy(&place.place, entry->ai_addr,
                std::min<size_t>(entry->ai_addrlen, sizeof place.place));
    places.push_back(place);
  }
  freeaddrinfo(list);
  return places;
}

Expected<Socket> qrt::listenAt(const std::vector<Endpoint> &places,
                               int backlog) {
  std::vector<Endpoint> choices = places;
  choices.push_back(anywhere(places.front()));
  int error = 0;
  for (const Endpoint &place : choices) {
    Socket socket = openSocket(place.family());
    setOption(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (socket &&
        bind(socket.get(), reinterpret_cast<const sockaddr *>(&place.place),
             sizeOf(place)) == 0 &&
        listen(socket.get(), backlog) == 0)
      return socket;
    error = errno;
    // Only an address that is not here is a reason to go on.
    if (error != EADDRNOTAVAIL && error != EAFNOSUPPORT)
      break;
  }
  return makeError(9022, "", "cannot listen at {}: {}", places.front().str(),
                   std::strerror(error));
}

Endpoint qrt::localEndpoint(int socket) {
  Endpoint place;
  socklen_t size = sizeof place.place;
  getsockname(socket, reinterpret_cast<sockaddr *>(&place.place), &size);
  return place;
}

Endpoint qrt::remoteEndpoint(int socket) {
  Endpoint place;
  socklen_t size = sizeof place.place;
  getpeername(socket, reinterpret_cast<sockaddr *>(&place.place), &size);
  return place;
}

Socket qrt::tryConnect(const Endpoint &place, TimePoint deadline) {
  Socket socket = openSocket(place.family());
  if (!socket)
    return socket;
  if (connect(socket.get(), reinterpret_cast<const sockaddr *>(&place.place),
              sizeOf(place)) != 0) {
    if (errno != EINPROGRESS || !waitFor(socket.get(), POLLOUT, deadline))
      return Socket();
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error)
      return Socket();
  }
  tune(socket.get());
  return socket;
}

Socket qrt::acceptUntil(int listener, TimePoint deadline) {
  if (!waitFor(listener, POLLIN, deadline))
    return Socket();
  Socket socket(
      accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket)
    tune(socket.get());
  return socket;
}

bool qrt::sendAll(int socket, const void *data, size_t bytes,
                  TimePoint deadline) {
  const char *from = static_cast<const char *>(data);
  while (bytes > 0) {
    ssize_t count = send(socket, from, bytes, MSG_NOSIGNAL);
    if (count > 0) {
      from += count;
      bytes -= static_cast<size_t>(count);
    } else if (!(count < 0 &&
                 (errno == EINTR ||
                  (errno == EAGAIN && waitFor(socket, POLLOUT, deadline))))) {
      return false;
    }
  }
  return true;
}

bool qrt::receiveAll(int socket, void *data, size_t bytes, TimePoint deadline) {
  char *to = static_cast<char *>(data);
  while (bytes > 0) {
    ssize_t count = recv(socket, to, bytes, 0);
    if (count > 0) {
      to += count;
      bytes -= static_cast<size_t>(count);
    } else if (!(count < 0 &&
                 (errno == EINTR ||
                  (errno == EAGAIN && waitFor(socket, POLLIN, deadline))))) {
      return false;
    }
  }
  return true;
}
