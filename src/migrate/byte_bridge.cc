#include "migrate/byte_bridge.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace martlet::migrate {

namespace {

constexpr size_t kBufferBytes = 256u << 10;

enum class Flow { kGoesOn, kEnded };

class Bridge {
 public:
  Bridge(TlsConnection& connection, int local, int stop)
      : connection_(connection), local_(local), stop_(stop) {}

  Result<Flow> step() {
    pollfd entries[4] = {{.fd = connection_.fd(), .events = POLLIN, .revents = 0},
                         {.fd = local_, .events = POLLIN, .revents = 0},
                         {.fd = stop_, .events = POLLIN, .revents = 0},
                         {.fd = cancel_fd(), .events = POLLIN, .revents = 0}};
    bool buffered = connection_.has_buffered_input();
    int ready = ::poll(entries, 4, buffered ? 0 : timeout());
    if (ready < 0 && errno != EINTR) return fail_errno("poll");
    if (ready < 0) return Flow::kGoesOn;
    if (entries[3].revents != 0) return fail(Code::kCancelled, "cancelled");
    if (ready == 0 && !buffered) return fail(Code::kTimeout, "the file copy stands still");
    if (entries[0].revents != 0 || buffered)
      if (TRY(to_local()) == Flow::kEnded) return Flow::kEnded;
    if (entries[1].revents != 0) return to_connection();
    return entries[2].revents != 0 ? Flow::kEnded : Flow::kGoesOn;
  }

 private:
  int cancel_fd() const {
    const Cancellation* cancellation = connection_.limits().cancellation;
    return cancellation ? cancellation->fd() : -1;
  }
  int timeout() const { return static_cast<int>(connection_.limits().timeout.count()); }
  std::span<std::byte> buffer() { return {buffer_.get(), kBufferBytes}; }

  Result<Flow> to_local() {
    auto got = connection_.read(buffer());
    if (!got && got.error().code() == Code::kPeerLost) return Flow::kEnded;
    if (!got) return std::unexpected(std::move(got.error()));
    std::span<const std::byte> left = buffer().first(*got);
    while (!left.empty()) {
      ssize_t put = ::send(local_, left.data(), left.size(), MSG_NOSIGNAL);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0 && (errno == EPIPE || errno == ECONNRESET)) return drain_local();
      if (put < 0) return fail_errno("send to the local program");
      left = left.subspan(static_cast<size_t>(put));
    }
    return Flow::kGoesOn;
  }

  Result<Flow> to_connection() {
    ssize_t got = ::recv(local_, buffer_.get(), kBufferBytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Flow::kGoesOn;
    if (got < 0 && errno != ECONNRESET) return fail_errno("receive from the local program");
    if (got <= 0) return Flow::kEnded;
    TRY(connection_.write(buffer().first(static_cast<size_t>(got))));
    return Flow::kGoesOn;
  }

  // The local program listens no more, but its last words must still arrive.
  Result<Flow> drain_local() {
    while (TRY(to_connection()) == Flow::kGoesOn)
      TRY(wait_ready(local_, POLLIN, connection_.limits()));
    return Flow::kEnded;
  }

  TlsConnection& connection_;
  int local_;
  int stop_;
  std::unique_ptr<std::byte[]> buffer_ = std::make_unique_for_overwrite<std::byte[]>(kBufferBytes);
};

}  // namespace

Result<void> bridge(TlsConnection& connection, int local, int stop,
                    const std::function<void(uint64_t)>& on_sent) {
  Bridge both_ways(connection, local, stop);
  while (TRY(both_ways.step()) == Flow::kGoesOn)
    if (on_sent) on_sent(connection.bytes_sent());
  return {};
}

}  // namespace martlet::migrate
