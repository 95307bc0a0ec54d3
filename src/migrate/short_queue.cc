#include "migrate/short_queue.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

namespace martlet::migrate {
namespace {

constexpr Nanoseconds kWaitBehindQueue = std::chrono::milliseconds(2);
// A link may let a burst pass at many times its rate, so what was seen for less tells nothing.
constexpr Nanoseconds kPeriod = std::chrono::milliseconds(20);
// Less than this would leave a fast link idle between two writes.
constexpr uint64_t kLowest = 64u << 10;
constexpr uint64_t kHighest = 16u << 20;

tcp_info look_at(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  ::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size);
  return info;
}

}  // namespace

uint64_t queue_limit(LinkPace pace) {
  double seconds = in_seconds(2 * pace.round_trip + kWaitBehindQueue);
  double bytes = static_cast<double>(pace.bytes_per_second) * seconds;
  return static_cast<uint64_t>(
      std::clamp(bytes, static_cast<double>(kLowest), static_cast<double>(kHighest)));
}

ShortQueue::ShortQueue(int socket, const Clock& clock)
    : socket_(socket),
      clock_(clock),
      since_(clock.now()),
      arrived_(look_at(socket).tcpi_bytes_acked) {
  limit(queue_limit({}));
}

void ShortQueue::adapt() {
  Nanoseconds now = clock_.now();
  if (now < since_ + kPeriod) return;
  tcp_info info = look_at(socket_);
  double rate = static_cast<double>(info.tcpi_bytes_acked - arrived_) / in_seconds(now - since_);
  since_ = now;
  arrived_ = info.tcpi_bytes_acked;
  limit(queue_limit({static_cast<uint64_t>(rate), std::chrono::microseconds(info.tcpi_min_rtt)}));
}

// The kernel doubles what it is given, for what it keeps beside the bytes; large writes need little
// of that.
void ShortQueue::limit(uint64_t bytes) const {
  int size = static_cast<int>(bytes / 2);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
}

}  // namespace martlet::migrate
