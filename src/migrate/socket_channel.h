// Bytes over a connected stream socket with a deadline on every wait and a way to stop.
//
// The socket is non-blocking underneath; the calls block in poll(2) on the socket and on the
// cancellation together. One thread at a time reads and one writes.
#pragma once

#include <chrono>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "migrate/cancellation.h"

namespace martlet::migrate {

// How long one wait may last, and what may end it early.
struct WaitLimits {
  std::chrono::milliseconds timeout{30'000};
  const Cancellation* cancellation = nullptr;  // may be null; must outlive its user
};

struct Endpoint {
  std::string host;  // a name or a numeric address
  std::string port;

  std::string to_string() const { return host + " port " + port; }
};

class SocketChannel {
 public:
  // Takes a connected socket.
  static Result<SocketChannel> adopt(Fd socket, WaitLimits limits);
  static Result<SocketChannel> connect(const Endpoint& endpoint, WaitLimits limits);

  // At least one byte; 0 once the peer has closed. Errors: kPeerLost, kTimeout, kCancelled.
  Result<size_t> read(std::span<std::byte> buffer);
  // What follows: kMore lets the kernel hold back the last bytes to fill a whole segment.
  enum class Then { kNothing, kMore };
  // Hands over all bytes.
  Result<void> write(std::span<const std::byte> bytes, Then then = Then::kNothing);
  // Waits until the peer's host has all bytes that were written. kTimeout if none of them arrives
  // for as long as one wait may last.
  Result<void> drain();
  // Both directions end; a thread that waits on the socket returns.
  void shutdown();

  void set_limits(WaitLimits limits) { limits_ = limits; }
  const WaitLimits& limits() const { return limits_; }
  int fd() const { return socket_.get(); }

 private:
  SocketChannel(Fd socket, WaitLimits limits) : socket_(std::move(socket)), limits_(limits) {}

  Fd socket_;
  WaitLimits limits_;
};

// Waits until `fd` is ready for `events` (POLLIN, POLLOUT). Errors: kTimeout, kCancelled.
Result<void> wait_ready(int fd, short events, const WaitLimits& limits);

// A listening TCP socket; port "0" lets the kernel choose.
Result<Fd> listen_on(const Endpoint& endpoint);
Result<uint16_t> local_port(int socket);
// Waits for one connection.
Result<Fd> accept_on(int listener, const WaitLimits& limits);

}  // namespace martlet::migrate
