#include "sys/packet_backlog.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "sys/processors.h"

namespace martlet::sys {
namespace {

constexpr Nanoseconds kDeadline = std::chrono::milliseconds(200);

// A socket that sends to itself over the loopback link: its datagrams wait in the same queue, in
// turn.
class Echo {
 public:
  static Result<Echo> open() {
    Echo echo(Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (!echo.socket_.valid() || ::bind(echo.socket_.get(), generic, size) != 0 ||
        ::getsockname(echo.socket_.get(), generic, &size) != 0 ||
        ::connect(echo.socket_.get(), generic, size) != 0)
      return fail_errno("make a socket on the loopback link");
    return echo;
  }

  Result<void> there_and_back(Nanoseconds give_up) {
    char byte = 0;
    if (::send(socket_.get(), &byte, sizeof byte, 0) < 0)
      return fail_errno("send over the loopback link");
    while (::recv(socket_.get(), &byte, sizeof byte, MSG_DONTWAIT) < 0) {
      if (errno != EAGAIN && errno != EINTR) return fail_errno("receive over the loopback link");
      auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up - SystemClock().now());
      if (left.count() <= 0) return fail(Code::kTimeout, "packets of this host are stuck");
      pollfd ready{.fd = socket_.get(), .events = POLLIN, .revents = 0};
      ::poll(&ready, 1, static_cast<int>(left.count()));
    }
    return {};
  }

 private:
  explicit Echo(Fd socket) : socket_(std::move(socket)) {}
  Fd socket_;
};

}  // namespace

Result<void> drain_packet_backlog(int hops) {
  Echo echo = TRY(Echo::open());
  Nanoseconds give_up = SystemClock().now() + kDeadline;
  const cpu_set_t processors = TRY(allowed_processors(HostPid(0)));
  for (int hop = 0; hop < hops; ++hop)
    for (int number = 0; number < CPU_SETSIZE; ++number) {
      if (!CPU_ISSET(static_cast<size_t>(number), &processors)) continue;
      OnProcessor here(number);
      TRY(echo.there_and_back(give_up));
    }
  return {};
}

}  // namespace martlet::sys
