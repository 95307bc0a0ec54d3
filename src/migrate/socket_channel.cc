#include "migrate/socket_channel.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>

#include "base/clock.h"

namespace martlet::migrate {

namespace {

// Enough for 25 Gbit/s at a round trip of 0.6 ms; the kernel's own tuning starts too small for TLS.
constexpr int kSendBufferBytes = 2 << 20;
constexpr int kBacklog = 64;

// A host that vanished without a word is noticed after at most this time.
constexpr int kKeepAliveSeconds = 5;
constexpr int kUnansweredProbes = 3;
constexpr unsigned kUserTimeoutMilliseconds = 20'000;

std::unexpected<Error> lost(int error_number, const char* what) {
  return fail(Code::kPeerLost,
              std::string(what) + ": the connection is lost: " + std::strerror(error_number));
}

std::unexpected<Error> refused(int error_number) {
  return fail(Code::kPeerLost, std::string("connect: ") + std::strerror(error_number));
}

bool is_loss(int error_number) {
  return error_number == ECONNRESET || error_number == ECONNABORTED || error_number == EPIPE ||
         error_number == ETIMEDOUT || error_number == EHOSTUNREACH || error_number == ENETUNREACH ||
         error_number == ENOTCONN;
}

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<AddressList> resolve(const Endpoint& endpoint, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* list = nullptr;
  const char* host = endpoint.host.empty() ? nullptr : endpoint.host.c_str();
  int error = ::getaddrinfo(host, endpoint.port.c_str(), &hints, &list);
  if (error != 0)
    return fail(Code::kNotFound,
                "host " + endpoint.host + " has no address: " + ::gai_strerror(error));
  return AddressList(list, &::freeaddrinfo);
}

// A refusal of any of these only costs speed.
void tune(int socket) {
  int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveSeconds, sizeof kKeepAliveSeconds);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepAliveSeconds, sizeof kKeepAliveSeconds);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &kUnansweredProbes, sizeof kUnansweredProbes);
  ::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMilliseconds,
               sizeof kUserTimeoutMilliseconds);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
}

// What has gone wrong on it since the last question; 0: nothing.
int error_of(int socket) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

bool has_ended(int socket) {
  pollfd entry{.fd = socket, .events = POLLRDHUP, .revents = 0};
  return ::poll(&entry, 1, 0) > 0;
}

std::unexpected<Error> stalled(const WaitLimits& limits) {
  return fail(Code::kTimeout, "nothing moved for " + std::to_string(limits.timeout.count()) +
                                  " ms on the connection");
}

Result<void> finish_connect(int socket, const WaitLimits& limits) {
  TRY(wait_ready(socket, POLLOUT, limits));
  int error = error_of(socket);
  if (error != 0) return refused(error);
  return {};
}

Result<Fd> connect_to(const addrinfo& address, const WaitLimits& limits) {
  Fd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("socket");
  tune(socket.get());
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return refused(errno);
    TRY(finish_connect(socket.get(), limits));
  }
  return socket;
}

}  // namespace

Result<void> wait_ready(int fd, short events, const WaitLimits& limits) {
  pollfd entries[2] = {
      {.fd = fd, .events = events, .revents = 0},
      {.fd = limits.cancellation ? limits.cancellation->fd() : -1, .events = POLLIN, .revents = 0}};
  int ready = ::poll(entries, 2, static_cast<int>(limits.timeout.count()));
  if (ready < 0 && errno == EINTR) return {};  // the caller tries again
  if (ready < 0) return fail_errno("poll");
  if (entries[1].revents != 0) return fail(Code::kCancelled, "cancelled");
  if (ready == 0) return stalled(limits);
  return {};
}

Result<SocketChannel> SocketChannel::adopt(Fd socket, WaitLimits limits) {
  int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("make a socket non-blocking");
  tune(socket.get());
  return SocketChannel(std::move(socket), limits);
}

Result<SocketChannel> SocketChannel::connect(const Endpoint& endpoint, WaitLimits limits) {
  AddressList list = TRY(resolve(endpoint, 0));
  Error last(Code::kNotFound, "host " + endpoint.host + " has no address");
  for (const addrinfo* address = list.get(); address; address = address->ai_next) {
    auto socket = connect_to(*address, limits);
    if (socket) return SocketChannel(std::move(*socket), limits);
    last = std::move(socket.error());
    if (last.code() == Code::kCancelled) break;
  }
  return std::unexpected(std::move(last).with_context("host " + endpoint.to_string()));
}

Result<size_t> SocketChannel::read(std::span<std::byte> buffer) {
  for (;;) {
    ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      if (is_loss(errno)) return lost(errno, "receive");
      return fail_errno("receive");
    }
    TRY(wait_ready(socket_.get(), POLLIN, limits_));
  }
}

Result<void> SocketChannel::write(std::span<const std::byte> bytes, Then then) {
  const int flags = MSG_NOSIGNAL | (then == Then::kMore ? MSG_MORE : 0);
  while (!bytes.empty()) {
    ssize_t put = ::send(socket_.get(), bytes.data(), bytes.size(), flags);
    if (put >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(put));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      if (is_loss(errno)) return lost(errno, "send");
      return fail_errno("send");
    }
    TRY(wait_ready(socket_.get(), POLLOUT, limits_));
  }
  return {};
}

// The kernel tells the number, but not when it changes.
Result<void> SocketChannel::drain() {
  constexpr std::chrono::milliseconds kLook{1};
  SystemClock clock;
  Nanoseconds moved = clock.now();
  for (int before = INT_MAX;;) {
    int waiting = 0;
    if (::ioctl(socket_.get(), SIOCOUTQ, &waiting) != 0) return fail_errno("ask a socket's queue");
    if (waiting == 0) return {};
    if (waiting < before) moved = clock.now();
    before = waiting;
    WaitLimits look{.timeout = kLook, .cancellation = limits_.cancellation};
    auto ended = wait_ready(socket_.get(), POLLRDHUP, look);
    if (!ended && ended.error().code() != Code::kTimeout) return ended;
    if (has_ended(socket_.get())) {  // a wait that a signal ended says nothing
      int error = error_of(socket_.get());
      return lost(error != 0 ? error : ECONNRESET, "send");
    }
    if (clock.now() - moved > limits_.timeout) return stalled(limits_);
  }
}

void SocketChannel::shutdown() {
  ::shutdown(socket_.get(), SHUT_RDWR);
}

Result<Fd> listen_on(const Endpoint& endpoint) {
  AddressList list = TRY(resolve(endpoint, AI_PASSIVE));
  Fd socket(::socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("socket");
  int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket.get(), list->ai_addr, list->ai_addrlen) != 0)
    return fail_errno("bind " + endpoint.to_string());
  if (::listen(socket.get(), kBacklog) != 0) return fail_errno("listen " + endpoint.to_string());
  return socket;
}

Result<uint16_t> local_port(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail_errno("getsockname");
  // The port stands at the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

Result<Fd> accept_on(int listener, const WaitLimits& limits) {
  for (;;) {
    Fd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.valid()) return socket;
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) return fail_errno("accept");
    TRY(wait_ready(listener, POLLIN, limits));
  }
}

}  // namespace martlet::migrate
