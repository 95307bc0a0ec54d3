#include "sys/tcp_repair.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "sys/socket_options.h"

namespace martlet::sys {
namespace {

constexpr size_t kChunkBytes = 64u << 10;

Result<void> select_queue(int fd, TcpQueue queue) {
  int number = queue == TcpQueue::kReceive ? TCP_RECV_QUEUE : TCP_SEND_QUEUE;
  return in_context(set_int_option(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, number), "TCP_REPAIR_QUEUE");
}

Result<uint32_t> count(int fd, unsigned long request, const char* name) {
  int value = 0;
  if (::ioctl(fd, request, &value) != 0) return fail_errno(std::string("ioctl ") + name);
  return static_cast<uint32_t>(value);
}

}  // namespace

Result<void> set_tcp_repair(int fd, RepairMode mode) {
  int value = TCP_REPAIR_ON;
  if (mode == RepairMode::kOff) value = TCP_REPAIR_OFF;
  if (mode == RepairMode::kOffWithoutProbe) value = TCP_REPAIR_OFF_NO_WP;
  return in_context(set_int_option(fd, IPPROTO_TCP, TCP_REPAIR, value), "TCP_REPAIR");
}

Result<uint32_t> tcp_sequence(int fd, TcpQueue queue) {
  TRY(select_queue(fd, queue));
  int value = TRY_IN(get_int_option(fd, IPPROTO_TCP, TCP_QUEUE_SEQ), "TCP_QUEUE_SEQ");
  return static_cast<uint32_t>(value);
}

Result<void> set_tcp_sequence(int fd, TcpQueue queue, uint32_t sequence) {
  TRY(select_queue(fd, queue));
  return in_context(set_int_option(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, static_cast<int>(sequence)),
                    "TCP_QUEUE_SEQ");
}

Result<std::string> peek_tcp_queue(int fd, TcpQueue queue, size_t length) {
  if (length == 0) return std::string();
  TRY(select_queue(fd, queue));
  std::string bytes(length, '\0');
  ssize_t got = ::recv(fd, bytes.data(), length, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && errno != EAGAIN) return fail_errno("peek into a TCP queue");
  bytes.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return bytes;
}

Result<void> fill_tcp_queue(int fd, TcpQueue queue, std::string_view bytes) {
  TRY(select_queue(fd, queue));
  while (!bytes.empty()) {
    ssize_t put =
        ::send(fd, bytes.data(), std::min(bytes.size(), kChunkBytes), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put <= 0) return fail_errno("fill a TCP queue");
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return {};
}

Result<void> set_tcp_negotiated(int fd, const TcpNegotiated& negotiated) {
  std::vector<tcp_repair_opt> options{{TCPOPT_MAXSEG, negotiated.mss_clamp}};
  if (negotiated.window_scaling)
    options.push_back({TCPOPT_WINDOW, negotiated.send_scale | negotiated.receive_scale << 16});
  if (negotiated.sack) options.push_back({TCPOPT_SACK_PERMITTED, 0});
  if (negotiated.timestamps) options.push_back({TCPOPT_TIMESTAMP, 0});
  if (::setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options.data(),
                   static_cast<socklen_t>(options.size() * sizeof options[0])) != 0)
    return fail_errno("TCP_REPAIR_OPTIONS");
  return {};
}

Result<TcpNegotiated> tcp_negotiated(int fd, const TcpInfo& info) {
  TcpNegotiated negotiated;
  // In repair mode this option reads as the limit that the peer announced.
  negotiated.mss_clamp =
      static_cast<uint32_t>(TRY_IN(get_int_option(fd, IPPROTO_TCP, TCP_MAXSEG), "TCP_MAXSEG"));
  negotiated.window_scaling = (info.tcpi_options & TCPI_OPT_WSCALE) != 0;
  negotiated.send_scale = info.tcpi_snd_wscale;
  negotiated.receive_scale = info.tcpi_rcv_wscale;
  negotiated.sack = (info.tcpi_options & TCPI_OPT_SACK) != 0;
  negotiated.timestamps = (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0;
  return negotiated;
}

Result<TcpWindow> tcp_window(int fd) {
  TcpWindow window{};
  socklen_t length = sizeof window;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, &length) != 0)
    return fail_errno("read TCP_REPAIR_WINDOW");
  return window;
}

Result<void> set_tcp_window(int fd, const TcpWindow& window) {
  if (::setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window) != 0)
    return fail_errno("write TCP_REPAIR_WINDOW");
  return {};
}

Result<uint32_t> tcp_timestamp(int fd) {
  int value = TRY_IN(get_int_option(fd, IPPROTO_TCP, TCP_TIMESTAMP), "TCP_TIMESTAMP");
  return static_cast<uint32_t>(value);
}

Result<void> set_tcp_timestamp(int fd, uint32_t timestamp) {
  return in_context(set_int_option(fd, IPPROTO_TCP, TCP_TIMESTAMP, static_cast<int>(timestamp)),
                    "TCP_TIMESTAMP");
}

Result<TcpInfo> tcp_information(int fd) {
  static_assert(sizeof(tcp_info) == 104 && sizeof(TcpInfo) == 152);
  TcpInfo info{};
  socklen_t length = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return fail_errno("TCP_INFO");
  return info;
}

Result<uint32_t> tcp_unacknowledged(int fd) {
  return count(fd, SIOCOUTQ, "SIOCOUTQ");
}
Result<uint32_t> tcp_unread(int fd) {
  return count(fd, FIONREAD, "SIOCINQ");
}

}  // namespace martlet::sys
