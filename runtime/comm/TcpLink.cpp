//===- TcpLink.cpp - Processes that meet at an address --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/TcpLink.h"
#include "runtime/comm/Sockets.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <poll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

#include <fmt/ranges.h>

using namespace qrt;

//===----------------------------------------------------------------------===//
// How ranks find each other
//===----------------------------------------------------------------------===//

namespace {

constexpr char kMagic[8] = {'q', 'w', 'e', 'n', 'r', 't', '0', '1'};

/// What a process says first, to rank 0 and to every other one.
struct Hello {
  char magic[8];
  int32_t rank, ranks;
  Endpoint listens; ///< where the others reach it; not in a hello to them
};

/// A stranger is not waited for long.
TimePoint patience(TimePoint deadline) {
  return std::min(deadline,
                  std::chrono::steady_clock::now() + std::chrono::seconds(5));
}

class Meeting {
public:
  explicit Meeting(const TcpLink::Options &options)
      : options(options),
        deadline(std::chrono::steady_clock::now() +
                 std::chrono::milliseconds(
                     static_cast<int64_t>(options.startTimeoutSeconds * 1000))),
        sockets(options.ranks) {}

  Status run() {
    QRT_ASSIGN_OR_RETURN(address, parseAddress(options.rendezvous));
    return options.rank == 0 ? lead() : join();
  }
  std::vector<Socket> &connections() { return sockets; }

private:
  Status lead();
  Status join();
  Expected<Socket> reachLeader();
  Hello hello() const {
    Hello mine = {};
    std::memcpy(mine.magic, kMagic, sizeof kMagic);
    mine.rank = options.rank;
    mine.ranks = options.ranks;
    return mine;
  }
  /// The next of the job who comes; none: nobody in time.
  std::optional<Hello> welcome(int listener, Socket &from);
  Error missing() const;

  const TcpLink::Options &options;
  Address address;
  TimePoint deadline;
  std::vector<Socket> sockets; ///< by rank
};

std::optional<Hello> Meeting::welcome(int listener, Socket &from) {
  while (millisecondsUntil(deadline) > 0) {
    from = acceptUntil(listener, deadline);
    Hello theirs;
    if (from &&
        receiveAll(from.get(), &theirs, sizeof theirs, patience(deadline)) &&
        std::memcmp(theirs.magic, kMagic, sizeof kMagic) == 0)
      return theirs;
  }
  return std::nullopt;
}

Error Meeting::missing() const {
  std::vector<int> who;
  for (int rank = 0; rank < options.ranks; ++rank)
    if (rank != options.rank && !sockets[rank])
      who.push_back(rank);
  constexpr size_t kNamed = 8;
  bool more = who.size() > kNamed;
  who.resize(std::min(who.size(), kNamed));
  return makeError(9014, "",
                   "rank {}{} not come to the rendezvous {} within {} s",
                   fmt::join(who, ", "), more ? ", ... have" : " has",
                   options.rendezvous, options.startTimeoutSeconds);
}

/// Rank 0: everybody comes, then everybody learns where the others are.
Status Meeting::lead() {
  QRT_ASSIGN_OR_RETURN(auto places, resolve(address));
  QRT_ASSIGN_OR_RETURN(Socket listener, listenAt(places, options.ranks));
  std::vector<Endpoint> where(options.ranks);
  for (int count = 1; count < options.ranks; ++count) {
    Socket from;
    std::optional<Hello> theirs = welcome(listener.get(), from);
    if (!theirs)
      return missing();
    if (theirs->ranks != options.ranks)
      return makeError(9022, "",
                       "a process came to the rendezvous {} as rank {} of {}, "
                       "this job has {} ranks",
                       options.rendezvous, theirs->rank, theirs->ranks,
                       options.ranks);
    int rank = theirs->rank;
    if (rank < 1 || rank >= options.ranks || sockets[rank])
      return makeError(9022, "",
                       "two processes came to the rendezvous {} as rank {}",
                       options.rendezvous, rank);
    // Its own idea of its address may be one that only it can use.
    where[rank] = remoteEndpoint(from.get());
    where[rank].setPort(theirs->listens.port());
    sockets[rank] = std::move(from);
  }
  for (int rank = 1; rank < options.ranks; ++rank)
    if (!sendAll(sockets[rank].get(), where.data(),
                 where.size() * sizeof(Endpoint), deadline))
      return makeError(9013, "", "rank {} has ended", rank);
  return Status::success();
}

Expected<Socket> Meeting::reachLeader() {
  // The name may become known, and rank 0 listen, only after a while.
  std::string why = "nobody listens there";
  do {
    auto places = resolve(address);
    if (!places)
      why = places.error().message;
    else
      for (const Endpoint &place : *places)
        if (Socket socket = tryConnect(place, deadline))
          return socket;
    std::this_thread::sleep_for(
        std::chrono::milliseconds(std::min(50, millisecondsUntil(deadline))));
  } while (millisecondsUntil(deadline) > 0);
  return makeError(9014, "",
                   "rank {} has not reached rank 0 at the rendezvous {} within "
                   "{} s: {}",
                   options.rank, options.rendezvous,
                   options.startTimeoutSeconds, why);
}

Status Meeting::join() {
  QRT_ASSIGN_OR_RETURN(sockets[0], reachLeader());
  int leader = sockets[0].get();
  Endpoint here = localEndpoint(leader);
  here.setPort(0);
  QRT_ASSIGN_OR_RETURN(Socket listener, listenAt({here}, options.ranks));
  Hello mine = hello();
  mine.listens = localEndpoint(listener.get());
  std::vector<Endpoint> where(options.ranks);
  if (!sendAll(leader, &mine, sizeof mine, deadline) ||
      !receiveAll(leader, where.data(), where.size() * sizeof(Endpoint),
                  deadline)) {
    if (millisecondsUntil(deadline) == 0)
      return makeError(9014, "",
                       "not all ranks have come to the rendezvous {} within "
                       "{} s",
                       options.rendezvous, options.startTimeoutSeconds);
    return makeError(9013, "", "rank 0 has ended at the start");
  }
  // Who is called listens already; calls wait in its queue.
  for (int rank = 1; rank < options.rank; ++rank) {
    sockets[rank] = tryConnect(where[rank], deadline);
    if (!sockets[rank] ||
        !sendAll(sockets[rank].get(), &mine, sizeof mine, deadline))
      return makeError(9022, "", "rank {} cannot reach rank {} at {}",
                       options.rank, rank, where[rank].str());
  }
  for (int count = options.rank + 1; count < options.ranks; ++count) {
    Socket from;
    std::optional<Hello> theirs = welcome(listener.get(), from);
    if (!theirs)
      return missing();
    int rank = theirs->rank;
    if (rank <= options.rank || rank >= options.ranks || sockets[rank])
      return makeError(9022, "", "an unexpected process came as rank {}", rank);
    sockets[rank] = std::move(from);
  }
  return Status::success();
}

} // namespace

//===----------------------------------------------------------------------===//
// Who has ended
//===----------------------------------------------------------------------===//

/// Ends this process when another one has ended before the job has: where this
/// one waits for something else than its messages (a GPU), nobody would notice.
class TcpLink::Watch {
public:
  explicit Watch(const std::vector<int> &sockets)
      : wake(eventfd(0, EFD_CLOEXEC)), entries(sockets.size() + 1) {
    for (size_t rank = 0; rank < sockets.size(); ++rank)
      entries[rank] = {sockets[rank], POLLRDHUP, 0};
    entries.back() = {wake.get(), POLLIN, 0};
    thread = std::thread([this] { run(); });
  }
  ~Watch() { end(); }

  /// From now on the others may end.
  void end() {
    if (!thread.joinable())
      return;
    isOver = true;
    uint64_t one = 1;
    (void)!write(wake.get(), &one, sizeof one);
    thread.join();
  }

private:
  void run() {
    for (;;) {
      int ready = poll(entries.data(), entries.size(), -1);
      if (isOver)
        return;
      if (ready <= 0)
        continue;
      // An error that this process is about to tell says more.
      pollfd done = entries.back();
      if (poll(&done, 1, 1000) > 0 || isOver)
        return;
      for (size_t rank = 0; rank + 1 < entries.size(); ++rank) {
        if (!entries[rank].revents)
          continue;
        Error error = makeError(9013, "", "rank {} has ended", rank);
        std::fprintf(stderr, "error: %s\n", error.str().c_str());
        std::_Exit(1);
      }
    }
  }

  Socket wake;
  std::vector<pollfd> entries;
  std::atomic<bool> isOver{false};
  std::thread thread; // the last member: it uses the others
};

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

/// What goes to one rank, and what comes from there.
struct TcpLink::Transfer {
  int rank;
  const char *from = nullptr;
  int64_t toSend = 0;
  char *to = nullptr;
  int64_t toReceive = 0;

  bool isOver() const { return toSend == 0 && toReceive == 0; }
  /// Moves what can be moved now; false: the other end is closed.
  bool advance(int socket);
};

bool TcpLink::Transfer::advance(int socket) {
  auto isBroken = [](ssize_t count) {
    return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
  };
  if (toSend > 0) {
    ssize_t count =
        send(socket, from, static_cast<size_t>(toSend), MSG_NOSIGNAL);
    if (isBroken(count))
      return false;
    if (count > 0) {
      from += count;
      toSend -= count;
    }
  }
  if (toReceive > 0) {
    ssize_t count = recv(socket, to, static_cast<size_t>(toReceive), 0);
    if (isBroken(count))
      return false;
    if (count > 0) {
      to += count;
      toReceive -= count;
    }
  }
  return true;
}

Status TcpLink::exchange(std::vector<Transfer> transfers, const Stop &stop) {
  constexpr int kLookMilliseconds = 100; // how often `stop` is asked
  std::vector<pollfd> entries;
  for (;;) {
    for (Transfer &transfer : transfers)
      if (!transfer.isOver() && !transfer.advance(sockets[transfer.rank]))
        return makeError(9013, "", "rank {} has ended", transfer.rank);
    transfers.erase(std::remove_if(transfers.begin(), transfers.end(),
                                   [](auto &t) { return t.isOver(); }),
                    transfers.end());
    if (transfers.empty())
      return Status::success();
    if (stop())
      return makeError(9014, "", "given up");
    entries.clear();
    for (const Transfer &transfer : transfers) {
      auto events = static_cast<short>((transfer.toSend > 0 ? POLLOUT : 0) |
                                       (transfer.toReceive > 0 ? POLLIN : 0));
      entries.push_back({sockets[transfer.rank], events, 0});
    }
    poll(entries.data(), entries.size(), kLookMilliseconds);
  }
}

Status TcpLink::exchangeBlocks(int group, const char *in, int64_t inStride,
                               char *out, int64_t bytes, const Stop &stop) {
  const std::vector<int> &members = groups[group];
  std::vector<Transfer> transfers;
  for (size_t i = 0; i < members.size(); ++i) {
    const char *from = in + static_cast<int64_t>(i) * inStride;
    char *to = out + static_cast<int64_t>(i) * bytes;
    if (members[i] == self)
      std::memcpy(to, from, static_cast<size_t>(bytes));
    else
      transfers.push_back({members[i], from, bytes, to, bytes});
  }
  return exchange(std::move(transfers), stop);
}

Expected<int> TcpLink::makeGroup(const std::vector<int> &members) {
  groups.push_back(members);
  return static_cast<int>(groups.size()) - 1;
}

Status TcpLink::allToAll(int group, const void *in, void *out, int64_t bytes,
                         const Stop &stop) {
  return exchangeBlocks(group, static_cast<const char *>(in), bytes,
                        static_cast<char *>(out), bytes, stop);
}

Status TcpLink::allGather(int group, const void *in, void *out, int64_t bytes,
                          const Stop &stop) {
  return exchangeBlocks(group, static_cast<const char *>(in), 0,
                        static_cast<char *>(out), bytes, stop);
}

Status TcpLink::broadcast(void *data, int64_t bytes, const Stop &stop) {
  std::vector<Transfer> transfers;
  char *bytesOf0 = static_cast<char *>(data);
  if (self != 0)
    transfers.push_back({0, nullptr, 0, bytesOf0, bytes});
  else
    for (int rank = 1; rank < all; ++rank)
      transfers.push_back({rank, bytesOf0, bytes});
  return exchange(std::move(transfers), stop);
}

Status TcpLink::gather(const void *in, void *out, int64_t bytes,
                       const Stop &stop) {
  if (self != 0)
    return exchange({{0, static_cast<const char *>(in), bytes}}, stop);
  char *to = static_cast<char *>(out);
  std::memcpy(to, in, static_cast<size_t>(bytes));
  std::vector<Transfer> transfers;
  for (int rank = 1; rank < all; ++rank)
    transfers.push_back({rank, nullptr, 0, to + rank * bytes, bytes});
  return exchange(std::move(transfers), stop);
}

//===----------------------------------------------------------------------===//
// Beginning and end
//===----------------------------------------------------------------------===//

TcpLink::TcpLink(int rank, int ranks) : self(rank), all(ranks) {}

Expected<std::unique_ptr<ProcessLink>>
TcpLink::connect(const Options &options) {
  Meeting meeting(options);
  QRT_RETURN_IF_ERROR(meeting.run());
  std::unique_ptr<TcpLink> link(new TcpLink(options.rank, options.ranks));
  for (Socket &socket : meeting.connections())
    link->sockets.push_back(socket.release());
  link->watch = std::make_unique<Watch>(link->sockets);
  return std::unique_ptr<ProcessLink>(std::move(link));
}

TcpLink::~TcpLink() {
  watch.reset();
  for (int socket : sockets)
    if (socket >= 0)
      close(socket);
}

void TcpLink::abort(int status) { std::_Exit(status); }

Status TcpLink::finish() {
  watch->end();
  // Whoever is here has stopped watching the others: now all may end.
  char token = 0;
  std::vector<char> tokens(all);
  Stop never = [] { return false; };
  QRT_RETURN_IF_ERROR(gather(&token, tokens.data(), 1, never));
  return broadcast(&token, 1, never);
}
