#include "sys/socket_options.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace martlet::sys {
namespace {

// Newer than the C library's headers.
constexpr int kSoBufLock = 72;
constexpr int kSoPreferBusyPoll = 69;
constexpr int kSoBusyPollBudget = 70;
constexpr int kSoRcvMark = 75;
constexpr int kSoPassPidFd = 76;
constexpr int kSoRcvPriority = 82;
constexpr int kSoPassRights = 83;
constexpr int kTcpRtoMaxMs = 44;
constexpr int kIpLocalPortRange = 51;
constexpr int kIpRecvErrRfc4884 = 26;
constexpr int kIpv6FlowInfo = 11;
constexpr int kIpv6RecvErrRfc4884 = 31;
constexpr int kIpv6FlowInfoSend = 33;
constexpr int kSoTxRehash = 74;
constexpr int kIcmpFilter = 1;
constexpr int kIcmpV6Filter = 1;
constexpr int kUdpLiteSendCoverage = 10;
constexpr int kUdpLiteReceiveCoverage = 11;

enum class Default {
  kZero,   // always zero on a new socket: a zero need not be stored
  kVaries  // set by the system or by other options
};

enum class Scope {
  kAlways,
  kUnconnected,  // once it has been connected, a socket reports something else
  kDatagram      // without meaning for a stream, or its place is used for something else
};

struct OptionRow {
  int level;
  int name;
  const char* label;
  OptionPhase phase;
  Default initial;
  Scope scope = Scope::kAlways;
};

constexpr auto kEarly = OptionPhase::kBeforeBind;
constexpr auto kLast = OptionPhase::kLast;
constexpr auto kZero = Default::kZero;
constexpr auto kVaries = Default::kVaries;

#define ROW(level, name) level, name, #name

// In the order of writing: IP_TOS changes SO_PRIORITY, SO_RCVLOWAT may change SO_RCVBUF, and a
// buffer's size sets its lock.
constexpr auto kTable = std::to_array<OptionRow>({
    {ROW(IPPROTO_IP, IP_TOS), kEarly, kVaries},
    {ROW(IPPROTO_IP, IP_TTL), kEarly, kVaries},
    {ROW(IPPROTO_IP, IP_MTU_DISCOVER), kEarly, kVaries},
    {ROW(IPPROTO_IP, IP_MINTTL), kEarly, kZero},
    {ROW(IPPROTO_IP, IP_FREEBIND), kEarly, kZero},
    {ROW(IPPROTO_IP, IP_TRANSPARENT), kEarly, kZero},
    {ROW(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), kEarly, kZero},
    {ROW(IPPROTO_IP, kIpLocalPortRange), kEarly, kZero},
    {ROW(IPPROTO_IP, IP_PKTINFO), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_RECVTTL), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_RECVTOS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_RECVOPTS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_RETOPTS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_RECVERR), kEarly, kZero},
    {ROW(IPPROTO_IP, IP_RECVORIGDSTADDR), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_RECVFRAGSIZE), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_PASSSEC), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_CHECKSUM), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_MULTICAST_IF), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_MULTICAST_TTL), kEarly, kVaries, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_MULTICAST_LOOP), kEarly, kVaries, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_MULTICAST_ALL), kEarly, kVaries, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_V6ONLY), kEarly, kVaries},
    {ROW(IPPROTO_IPV6, IPV6_TCLASS), kEarly, kVaries},
    {ROW(IPPROTO_IPV6, IPV6_UNICAST_HOPS), kEarly, kVaries},
    {ROW(IPPROTO_IPV6, IPV6_MTU_DISCOVER), kEarly, kVaries},
    {ROW(IPPROTO_IPV6, IPV6_MINHOPCOUNT), kEarly, kZero},
    {ROW(IPPROTO_IPV6, IPV6_FREEBIND), kEarly, kZero},
    {ROW(IPPROTO_IPV6, IPV6_TRANSPARENT), kEarly, kZero},
    {ROW(IPPROTO_IPV6, IPV6_RECVPKTINFO), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RECVHOPLIMIT), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RECVTCLASS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RECVRTHDR), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RECVERR), kEarly, kZero},
    {ROW(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RECVFRAGSIZE), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_DONTFRAG), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL), kEarly, kVaries},
    {ROW(IPPROTO_IPV6, IPV6_MULTICAST_IF), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_MULTICAST_HOPS), kEarly, kVaries, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_MULTICAST_LOOP), kEarly, kVaries, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_MULTICAST_ALL), kEarly, kVaries, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_NODEFRAG), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_UNICAST_IF), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, kIpRecvErrRfc4884), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_HDRINCL), kEarly, kVaries, Scope::kDatagram},
    {ROW(IPPROTO_IP, IP_OPTIONS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RECVHOPOPTS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RECVDSTOPTS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RECVPATHMTU), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_2292PKTINFO), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_2292HOPLIMIT), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_2292RTHDR), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_2292HOPOPTS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_2292DSTOPTS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_HOPOPTS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RTHDRDSTOPTS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_RTHDR), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_DSTOPTS), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, kIpv6FlowInfo), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, kIpv6FlowInfoSend), kEarly, kZero},
    {ROW(IPPROTO_IPV6, IPV6_UNICAST_IF), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, kIpv6RecvErrRfc4884), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_ADDR_PREFERENCES), kEarly, kVaries},
    {ROW(IPPROTO_IPV6, IPV6_CHECKSUM), kEarly, kVaries, Scope::kDatagram},
    {ROW(IPPROTO_IPV6, IPV6_HDRINCL), kEarly, kVaries, Scope::kDatagram},
    {ROW(SOL_RAW, kIcmpFilter), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_ICMPV6, kIcmpV6Filter), kEarly, kZero, Scope::kDatagram},
    {ROW(IPPROTO_UDP, UDP_CORK), kEarly, kZero},
    {ROW(IPPROTO_UDP, UDP_ENCAP), kEarly, kZero},
    {ROW(IPPROTO_UDP, UDP_SEGMENT), kEarly, kZero},
    {ROW(IPPROTO_UDP, UDP_GRO), kEarly, kZero},
    {ROW(IPPROTO_UDP, UDP_NO_CHECK6_TX), kEarly, kZero},
    {ROW(IPPROTO_UDP, UDP_NO_CHECK6_RX), kEarly, kZero},
    {ROW(IPPROTO_UDPLITE, UDP_CORK), kEarly, kZero},
    {ROW(IPPROTO_UDPLITE, kUdpLiteSendCoverage), kEarly, kZero},
    {ROW(IPPROTO_UDPLITE, kUdpLiteReceiveCoverage), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_REUSEPORT), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_BINDTODEVICE), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_PRIORITY), kEarly, kVaries},
    {ROW(SOL_SOCKET, SO_MARK), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_KEEPALIVE), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_OOBINLINE), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_BROADCAST), kEarly, kZero, Scope::kDatagram},
    {ROW(SOL_SOCKET, SO_DONTROUTE), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_NO_CHECK), kEarly, kZero, Scope::kDatagram},
    {ROW(SOL_SOCKET, SO_LINGER), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_RCVTIMEO), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_SNDTIMEO), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_TIMESTAMP), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_TIMESTAMPNS), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_TIMESTAMPING), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_TIMESTAMP_NEW), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_TIMESTAMPNS_NEW), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_RXQ_OVFL), kEarly, kZero, Scope::kDatagram},
    {ROW(SOL_SOCKET, SO_SELECT_ERR_QUEUE), kEarly, kZero, Scope::kDatagram},
    {ROW(SOL_SOCKET, SO_BUSY_POLL), kEarly, kVaries},
    {ROW(SOL_SOCKET, kSoPreferBusyPoll), kEarly, kZero},
    {ROW(SOL_SOCKET, kSoBusyPollBudget), kEarly, kVaries},
    {ROW(SOL_SOCKET, SO_MAX_PACING_RATE), kEarly, kVaries},
    {ROW(SOL_SOCKET, SO_ZEROCOPY), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_TXTIME), kEarly, kZero, Scope::kDatagram},
    {ROW(SOL_SOCKET, SO_NOFCS), kEarly, kZero, Scope::kDatagram},
    {ROW(SOL_SOCKET, SO_WIFI_STATUS), kEarly, kZero, Scope::kDatagram},
    {ROW(SOL_SOCKET, kSoTxRehash), kEarly, kVaries},
    {ROW(SOL_SOCKET, kSoRcvMark), kEarly, kZero, Scope::kDatagram},
    {ROW(SOL_SOCKET, kSoRcvPriority), kEarly, kZero},
    {ROW(IPPROTO_TCP, TCP_MAXSEG), kEarly, kVaries, Scope::kUnconnected},
    {ROW(IPPROTO_TCP, TCP_CONGESTION), kEarly, kVaries},
    {ROW(IPPROTO_TCP, TCP_NODELAY), kEarly, kZero},
    {ROW(IPPROTO_TCP, TCP_CORK), kEarly, kZero},
    {ROW(IPPROTO_TCP, TCP_KEEPIDLE), kEarly, kVaries},
    {ROW(IPPROTO_TCP, TCP_KEEPINTVL), kEarly, kVaries},
    {ROW(IPPROTO_TCP, TCP_KEEPCNT), kEarly, kVaries},
    {ROW(IPPROTO_TCP, TCP_SYNCNT), kEarly, kVaries},
    {ROW(IPPROTO_TCP, TCP_LINGER2), kEarly, kVaries},
    {ROW(IPPROTO_TCP, TCP_USER_TIMEOUT), kEarly, kZero},
    {ROW(IPPROTO_TCP, TCP_DEFER_ACCEPT), kEarly, kZero},
    {ROW(IPPROTO_TCP, TCP_SAVE_SYN), kEarly, kZero},
    {ROW(IPPROTO_TCP, TCP_FASTOPEN), kEarly, kZero, Scope::kUnconnected},
    {ROW(IPPROTO_TCP, TCP_FASTOPEN_CONNECT), kEarly, kZero, Scope::kUnconnected},
    {ROW(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE), kEarly, kZero, Scope::kUnconnected},
    {ROW(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS), kEarly, kZero},
    {ROW(IPPROTO_TCP, TCP_INQ), kEarly, kZero},
    {ROW(IPPROTO_TCP, TCP_TX_DELAY), kEarly, kZero},
    {ROW(IPPROTO_TCP, kTcpRtoMaxMs), kEarly, kVaries},
    {ROW(SOL_NETLINK, NETLINK_PKTINFO), kEarly, kZero},
    {ROW(SOL_NETLINK, NETLINK_BROADCAST_ERROR), kEarly, kZero},
    {ROW(SOL_NETLINK, NETLINK_NO_ENOBUFS), kEarly, kZero},
    {ROW(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID), kEarly, kZero},
    {ROW(SOL_NETLINK, NETLINK_CAP_ACK), kEarly, kZero},
    {ROW(SOL_NETLINK, NETLINK_EXT_ACK), kEarly, kZero},
    {ROW(SOL_NETLINK, NETLINK_GET_STRICT_CHK), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_VERSION), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_RESERVE), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_AUXDATA), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_ORIGDEV), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_VNET_HDR), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_LOSS), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_TX_HAS_OFF), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_TIMESTAMP), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_QDISC_BYPASS), kEarly, kZero},
    {ROW(SOL_PACKET, PACKET_IGNORE_OUTGOING), kEarly, kZero},
    {ROW(SOL_SOCKET, SO_PASSCRED), kLast, kZero},
    {ROW(SOL_SOCKET, SO_PASSSEC), kLast, kZero},
    {ROW(SOL_SOCKET, kSoPassPidFd), kLast, kZero},
    {ROW(SOL_SOCKET, kSoPassRights), kLast, kVaries},
    {ROW(SOL_SOCKET, SO_REUSEADDR), kLast, kVaries},
    {ROW(SOL_SOCKET, SO_PEEK_OFF), kLast, kVaries},
    {ROW(SOL_SOCKET, SO_LOCK_FILTER), kLast, kZero},
    {ROW(SOL_SOCKET, SO_RCVLOWAT), kLast, kVaries},
    {ROW(SOL_SOCKET, SO_SNDBUF), kLast, kVaries},
    {ROW(SOL_SOCKET, SO_RCVBUF), kLast, kVaries},
    {ROW(SOL_SOCKET, kSoBufLock), kLast, kVaries},
    {ROW(IPPROTO_TCP, TCP_WINDOW_CLAMP), kLast, kVaries},
    {ROW(IPPROTO_TCP, TCP_NOTSENT_LOWAT), kLast, kVaries},
    {ROW(IPPROTO_TCP, TCP_QUICKACK), kLast, kVaries},
});

#undef ROW

// No option of the table is longer (the longest are extension headers of IPv6).
constexpr size_t kMaxValueBytes = 2048;

// Options whose value is the number of a network device, which may be another one where the group
// goes on.
bool is_device_number(const OptionRow& row) {
  return (row.level == IPPROTO_IP && row.name == IP_UNICAST_IF) ||
         (row.level == IPPROTO_IPV6 &&
          (row.name == IPV6_UNICAST_IF || row.name == IPV6_MULTICAST_IF));
}

// The two options of unicast have the number in network order.
uint32_t swap_if_unicast(const OptionRow& row, uint32_t number) {
  return row.name == IPV6_MULTICAST_IF ? number : htonl(number);
}

// Empty if there is no such device (any more).
std::string device_in(int fd, const OptionRow& row, std::string_view value) {
  uint32_t number = 0;
  if (value.size() != sizeof number) return {};
  std::memcpy(&number, value.data(), sizeof number);
  return device_name(fd, swap_if_unicast(row, number)).value_or("");
}

Result<std::string> value_for_device(int fd, const OptionRow& row, const std::string& device) {
  uint32_t number = swap_if_unicast(row, TRY(device_number(fd, device)));
  return std::string(reinterpret_cast<const char*>(&number), sizeof number);
}

// What getsockopt reports; not set if the socket has no such option.
class Value {
 public:
  Value(int fd, const OptionRow& row) {
    socklen_t length = sizeof bytes_;
    if (::getsockopt(fd, row.level, row.name, bytes_, &length) == 0)
      seen_ = std::string_view(bytes_, length);
  }
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;
  explicit operator bool() const { return seen_.has_value(); }
  std::string_view operator*() const { return *seen_; }

 private:
  char bytes_[kMaxValueBytes];
  std::optional<std::string_view> seen_;
};

// Whether a socket of this family and protocol can have options of the level.
bool has_level(int family, int protocol, int level) {
  if (level == SOL_SOCKET) return true;
  if (family == AF_NETLINK || level == SOL_NETLINK)
    return family == AF_NETLINK && level == SOL_NETLINK;
  if (family == AF_PACKET || level == SOL_PACKET) return family == AF_PACKET && level == SOL_PACKET;
  if (level == IPPROTO_IP) return family == AF_INET || family == AF_INET6;
  if (level == SOL_RAW) return protocol == IPPROTO_ICMP && family == AF_INET;
  return level == IPPROTO_IPV6 ? family == AF_INET6 : level == protocol && family != AF_UNIX;
}

bool is_zero(std::string_view value) {
  return std::ranges::all_of(value, [](char byte) { return byte == 0; });
}

// The kernel doubles a buffer size that is written and reports the doubled one; the variants that
// ignore the system's limits have names of their own.
Result<void> write_buffer_size(int fd, int forced_name, const std::string& value) {
  int doubled = 0;
  if (value.size() != sizeof doubled) return fail(Code::kBadImage, "size of a socket buffer");
  std::memcpy(&doubled, value.data(), sizeof doubled);
  return set_int_option(fd, SOL_SOCKET, forced_name, doubled / 2);
}

Result<void> write_value(int fd, const OptionRow& row, const std::string& value) {
  if (row.level == SOL_SOCKET && row.name == SO_SNDBUF)
    return write_buffer_size(fd, SO_SNDBUFFORCE, value);
  if (row.level == SOL_SOCKET && row.name == SO_RCVBUF)
    return write_buffer_size(fd, SO_RCVBUFFORCE, value);
  if (::setsockopt(fd, row.level, row.name, value.data(), static_cast<socklen_t>(value.size())) !=
      0)
    return fail_errno(std::string("write socket option ") + row.label);
  return {};
}

std::optional<size_t> find_row(int level, int name) {
  static const auto rows = [] {
    std::map<std::pair<int, int>, size_t> by_name;
    for (size_t i = 0; i < kTable.size(); ++i)
      by_name.try_emplace({kTable[i].level, kTable[i].name}, i);
    return by_name;
  }();
  auto found = rows.find({level, name});
  if (found == rows.end()) return std::nullopt;
  return found->second;
}

bool has_option(SocketType type, bool connected, const OptionRow& row) {
  if (!has_level(type.family, type.protocol, row.level)) return false;
  if (connected && row.scope == Scope::kUnconnected) return false;
  return type.type != SOCK_STREAM || row.scope != Scope::kDatagram;
}

SocketOption option_of(int fd, const OptionRow& row, std::string_view value) {
  std::string device = is_device_number(row) ? device_in(fd, row, value) : "";
  return {row.level, row.name, std::string(value), std::move(device)};
}

Result<void> write_if_different(int fd, const OptionRow& row, const std::string& value) {
  const Value current(fd, row);
  if (!current)
    return fail(Code::kUnsupported, std::string("this kernel has no socket option ") + row.label);
  if (*current == value || (is_zero(*current) && is_zero(value))) return {};
  return write_value(fd, row, value);
}

}  // namespace

std::optional<SocketType> socket_type(int fd) {
  auto family = get_int_option(fd, SOL_SOCKET, SO_DOMAIN);
  auto type = get_int_option(fd, SOL_SOCKET, SO_TYPE);
  auto protocol = get_int_option(fd, SOL_SOCKET, SO_PROTOCOL);
  if (!family || !type || !protocol) return std::nullopt;
  return SocketType{*family, *type, *protocol};
}

bool is_connected(int fd) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) == 0) return true;
  pollfd state{fd, POLLRDHUP, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & POLLRDHUP) != 0;
}

std::vector<SocketOption> read_socket_options(int fd) {
  return SocketModel::of(fd, socket_type(fd).value_or(SocketType{}), is_connected(fd)).options();
}

SocketModel SocketModel::of(int fd, SocketType type, bool connected) {
  SocketModel model;
  for (size_t i = 0; i < kTable.size(); ++i) {
    const OptionRow& row = kTable[i];
    if (!has_option(type, connected, row)) continue;
    const Value value(fd, row);
    if (!value) continue;
    model.entries_.push_back({i, std::string(*value)});
    if (row.initial == Default::kZero && is_zero(*value)) continue;
    model.options_.push_back(option_of(fd, row, *value));
  }
  return model;
}

std::vector<SocketOption> SocketModel::differences(int fd) const {
  std::vector<SocketOption> found;
  for (const Entry& entry : entries_) {
    const OptionRow& row = kTable[entry.row];
    const Value value(fd, row);
    if (!value || *value == entry.value || (is_zero(*value) && is_zero(entry.value))) continue;
    found.push_back(option_of(fd, row, *value));
  }
  return found;
}

Result<void> write_socket_options(int fd, const std::vector<SocketOption>& options,
                                  OptionPhase phase) {
  std::vector<std::pair<size_t, const SocketOption*>> chosen;  // with their rows
  for (const SocketOption& option : options) {
    const auto row = find_row(option.level, option.name);
    if (!row || option.value.size() > kMaxValueBytes)
      return fail(Code::kBadImage, "socket option " + std::to_string(option.level) + "/" +
                                       std::to_string(option.name) + " is not one that moves");
    if (kTable[*row].phase == phase) chosen.emplace_back(*row, &option);
  }
  std::ranges::stable_sort(chosen, {}, [](const auto& each) { return each.first; });
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto& [number, option] = chosen[i];
    if (i + 1 < chosen.size() && chosen[i + 1].first == number) continue;
    const OptionRow& row = kTable[number];
    std::string value = option->value;
    if (is_device_number(row) && !option->device.empty())
      value = TRY(value_for_device(fd, row, option->device));
    TRY(write_if_different(fd, row, value));
  }
  return {};
}

Result<std::string> device_name(int fd, uint32_t number) {
  ifreq request{};
  request.ifr_ifindex = static_cast<int>(number);
  if (::ioctl(fd, SIOCGIFNAME, &request) != 0)
    return fail_errno("find network device " + std::to_string(number));
  return std::string(request.ifr_name, ::strnlen(request.ifr_name, IFNAMSIZ));
}

Result<uint32_t> device_number(int fd, const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= IFNAMSIZ)
    return fail(Code::kBadImage, "name of a network device");
  std::memcpy(request.ifr_name, name.data(), name.size());
  if (::ioctl(fd, SIOCGIFINDEX, &request) != 0) return fail_errno("find network device " + name);
  return static_cast<uint32_t>(request.ifr_ifindex);
}

Result<int> get_int_option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(fd, level, name, &value, &length) != 0)
    return fail_errno("read socket option " + std::to_string(level) + "/" + std::to_string(name));
  return value;
}

Result<void> set_int_option(int fd, int level, int name, int value) {
  if (::setsockopt(fd, level, name, &value, sizeof value) != 0)
    return fail_errno("write socket option " + std::to_string(level) + "/" + std::to_string(name));
  return {};
}

namespace {

// A queued byte costs up to a few bytes of bookkeeping when it comes in small pieces.
constexpr size_t kOverheadFactor = 4;
constexpr size_t kOverheadBase = 1u << 20;

int enlarged(size_t bytes) {
  return static_cast<int>(std::min<size_t>(bytes * kOverheadFactor + kOverheadBase, INT_MAX / 2));
}

}  // namespace

Result<void> enlarge_send_buffer(int fd, size_t bytes) {
  return set_int_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, enlarged(bytes));
}

Result<void> enlarge_receive_buffer(int fd, size_t bytes) {
  return set_int_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, enlarged(bytes));
}

Result<std::string> read_socket_filter(int fd) {
  socklen_t instructions = 0;
  if (::getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, nullptr, &instructions) != 0) {
    if (errno == EACCES) return fail(Code::kUnsupported, "socket has an extended BPF program");
    return fail_errno("read the filter of a socket");
  }
  std::string program(instructions * sizeof(sock_filter), '\0');
  if (instructions != 0 &&
      ::getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, program.data(), &instructions) != 0)
    return fail_errno("read the filter of a socket");
  return program;
}

Result<void> write_socket_filter(int fd, const std::string& program) {
  if (program.empty()) {
    int unused = 0;
    if (::setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) != 0 &&
        errno != ENOENT)
      return fail_errno("detach the filter of a socket");
    return {};
  }
  if (program.size() % sizeof(sock_filter) != 0 || program.size() / sizeof(sock_filter) > 0xffff)
    return fail(Code::kBadImage, "size of a socket filter");
  std::string code = program;
  sock_fprog request{static_cast<unsigned short>(code.size() / sizeof(sock_filter)),
                     reinterpret_cast<sock_filter*>(code.data())};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &request, sizeof request) != 0)
    return fail_errno("attach a filter to a socket");
  return {};
}

std::string drop_everything_filter() {
  sock_filter accept_nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  return std::string(reinterpret_cast<const char*>(&accept_nothing), sizeof accept_nothing);
}

DropEverything DropEverything::load() {
  const bpf_insn accept_nothing[] = {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0},
                                     {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  return DropEverything(Fd(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "drop_everything", "MIT",
                                         accept_nothing, std::size(accept_nothing), nullptr)));
}

Result<void> DropEverything::attach(int fd) const {
  if (!program_.valid()) return write_socket_filter(fd, drop_everything_filter());
  const int program = program_.get();
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program) != 0)
    return fail_errno("attach a BPF program to a socket");
  return {};
}

bool has_extended_filter(int fd) {
  socklen_t instructions = 0;
  return ::getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, nullptr, &instructions) != 0 &&
         errno == EACCES;
}

}  // namespace martlet::sys
