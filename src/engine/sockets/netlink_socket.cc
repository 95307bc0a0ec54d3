#include "engine/sockets/netlink_socket.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "engine/sockets/common.h"

namespace martlet::engine {
namespace {

// What others have to do with a socket is known to the subsystem behind it alone, which keeps it
// under the socket's port: packet queues and logs (netfilter), audit, process events, listeners of
// generic families.
constexpr std::pair<int, std::string_view> kProtocols[] = {
    {NETLINK_ROUTE, "route"},
    {NETLINK_USERSOCK, "user"},
    {NETLINK_SOCK_DIAG, "sock_diag"},
    {NETLINK_XFRM, "xfrm"},
    {NETLINK_KOBJECT_UEVENT, "kobject_uevent"},
};
constexpr size_t kMostGroups = 1024;

bool is_carried(int protocol) {
  return std::ranges::find(kProtocols, protocol, &std::pair<int, std::string_view>::first) !=
         std::end(kProtocols);
}

using NameOf = int (*)(int, sockaddr*, socklen_t*);

Result<sockaddr_nl> ask_address(NameOf name_of, int fd) {
  sockaddr_nl address{};
  socklen_t size = sizeof address;
  if (name_of(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail_errno("address of a netlink socket");
  return address;
}

sockaddr_nl address_of(uint32_t port, uint32_t groups) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_pid = port;
  address.nl_groups = groups;
  return address;
}

Result<void> capture_groups(int fd, image::NetlinkSocket& out) {
  std::array<uint32_t, kMostGroups / 32> words{};
  socklen_t size = sizeof words;
  if (::getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words.data(), &size) != 0)
    return fail_errno("groups of a netlink socket");
  if (size > sizeof words)
    return fail(Code::kUnsupported, fmt::format("netlink socket with {} groups", size * 8));
  for (uint32_t group = 1; group <= size * 8; ++group)
    if (words[(group - 1) / 32] >> ((group - 1) % 32) & 1) out.add_groups(group);
  return {};
}

Result<void> join_groups(int fd, const image::NetlinkSocket& netlink) {
  for (uint32_t group : netlink.groups())
    if (::setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
      return fail_errno(fmt::format("join netlink group {}", group));
  return {};
}

// The port was free for the socket once, but in a network that it shares with others it may have
// been given to one of them.
Result<void> take_port(int fd, const image::NetlinkSocket& netlink) {
  if (netlink.port() == 0) return {};
  sockaddr_nl address = address_of(netlink.port(), 0);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(fmt::format("take netlink port {}", netlink.port()));
  return {};
}

Result<void> set_peer(int fd, const image::NetlinkSocket& netlink) {
  if (netlink.peer_port() == 0 && netlink.peer_groups() == 0) return {};
  sockaddr_nl address = address_of(netlink.peer_port(), netlink.peer_groups());
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("connect a netlink socket");
  return {};
}

// Whatever the restore has caused to be reported; it ends with EAGAIN.
void discard_arrivals(int fd) {
  char byte = 0;
  while (::recv(fd, &byte, sizeof byte, MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno == ENOBUFS)
    continue;
}

Result<SocketType> checked_type(const image::NetlinkSocket& netlink) {
  SocketType type{AF_NETLINK, static_cast<int>(netlink.type()),
                  static_cast<int>(netlink.protocol())};
  bool sound = (type.type == SOCK_RAW || type.type == SOCK_DGRAM) && is_carried(type.protocol) &&
               static_cast<size_t>(netlink.groups_size()) <= kMostGroups;
  if (!sound) return fail(Code::kBadImage, "netlink socket");
  return type;
}

class NetlinkSocketKind final : public FileKind {
 public:
  std::string_view name() const override { return "netlink socket"; }

  bool recognises(const OpenFile& file) const override {
    const auto& type = file.socket;
    return type && type->family == AF_NETLINK && is_carried(type->protocol);
  }

  Result<void> check_at_rest(const OpenFile& file) const override {
    pollfd state{file.fd, POLLIN, 0};
    if (::poll(&state, 1, 0) < 0) return fail_errno("poll a netlink socket");
    if ((state.revents & (POLLIN | POLLERR)) == 0) return {};
    return std::unexpected(
        Error(Code::kUnsupported, "messages of netlink are waiting to be read by the program")
            .with_remedy("try again when it has read them"));
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    image::NetlinkSocket& netlink = *out.mutable_netlink();
    const auto& type = file.socket;
    netlink.set_type(static_cast<uint32_t>(type->type));
    netlink.set_protocol(static_cast<uint32_t>(type->protocol));
    netlink.set_port(TRY(ask_address(::getsockname, file.fd)).nl_pid);
    sockaddr_nl peer = TRY(ask_address(::getpeername, file.fd));
    netlink.set_peer_port(peer.nl_pid);
    netlink.set_peer_groups(peer.nl_groups);
    TRY(capture_groups(file.fd, netlink));
    return capture_common(context, file, *netlink.mutable_common());
  }

  bool owns(const image::File& file) const override { return file.has_netlink(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    const image::NetlinkSocket& netlink = file.netlink();
    Fd fd = TRY(open_group_socket(context, file.network(), TRY(checked_type(netlink))));
    TRY(apply_options(context, fd.get(), netlink.common(), sys::OptionPhase::kBeforeBind));
    TRY(take_port(fd.get(), netlink));
    TRY(join_groups(fd.get(), netlink));
    TRY(set_peer(fd.get(), netlink));
    TRY(sys::write_socket_filter(fd.get(), netlink.common().filter()));
    TRY(apply_options(context, fd.get(), netlink.common(), sys::OptionPhase::kLast));
    TRY(apply_identity(fd.get(), file, netlink.common()));
    return fd;
  }

  void go_live(ApplyContext&, const image::File&, int fd) const override { discard_arrivals(fd); }
};

}  // namespace

const FileKind& netlink_socket_kind() {
  static const NetlinkSocketKind kind;
  return kind;
}

}  // namespace martlet::engine
