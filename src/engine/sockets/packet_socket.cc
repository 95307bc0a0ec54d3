#include "engine/sockets/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "engine/sockets/common.h"
#include "sys/sock_diag.h"

namespace martlet::engine {
namespace {

constexpr size_t kLongestAddress = 32;

// struct packet_mreq with room for the longest address.
struct MembershipRequest {
  int device = 0;
  uint16_t type = 0;
  uint16_t address_size = 0;
  unsigned char address[kLongestAddress] = {};
};

Result<void> capture_address(int fd, image::PacketSocket& out) {
  sockaddr_ll address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail_errno("address of a packet socket");
  out.set_protocol(ntohs(address.sll_protocol));
  if (address.sll_ifindex == 0) return {};
  out.set_device(TRY(sys::device_name(fd, static_cast<uint32_t>(address.sll_ifindex))));
  return {};
}

Result<void> capture_memberships(int fd, const sys::PacketSocketInfo& info,
                                 image::PacketSocket& out) {
  for (const sys::PacketMembership& membership : info.memberships)
    for (uint32_t i = 0; i < membership.count; ++i) {
      image::PacketMembership& record = *out.add_memberships();
      record.set_device(TRY(sys::device_name(fd, membership.device)));
      record.set_type(membership.type);
      record.set_address(membership.address);
    }
  return {};
}

// A fanout group is told by a number that may be another group's elsewhere.
Result<void> refuse_shared_frames(int fd, const sys::PacketSocketInfo& info) {
  if (info.has_ring) return fail(Code::kUnsupported, "packet socket with a ring of frames");
  if (TRY(sys::get_int_option(fd, SOL_PACKET, PACKET_FANOUT)) != 0)
    return fail(Code::kUnsupported, "packet socket in a fanout group");
  return {};
}

Result<sys::PacketSocketInfo> find_packet_socket(CaptureContext& context, const OpenFile& file) {
  auto [sockets, is_new] = context.packet_sockets().try_emplace(file.network);
  if (is_new)
    sockets->second = TRY(sys::list_packet_sockets(TRY(group_sock_diag(context, file.network))));
  const auto inode = static_cast<uint32_t>(file.status.st_ino);
  auto found = sockets->second.find(inode);
  if (found == sockets->second.end())
    return fail(Code::kNotFound, "packet socket " + std::to_string(inode));
  return found->second;
}

Result<void> capture_packet(CaptureContext& context, const OpenFile& file,
                            image::PacketSocket& out) {
  auto info = TRY(find_packet_socket(context, file));
  TRY(refuse_shared_frames(file.fd, info));
  out.set_type(static_cast<uint32_t>(file.socket->type));
  TRY(capture_address(file.fd, out));
  TRY(capture_memberships(file.fd, info, out));
  return capture_common(context, file, *out.mutable_common());
}

Result<SocketType> checked_type(const image::PacketSocket& packet) {
  SocketType type{AF_PACKET, static_cast<int>(packet.type()), 0};
  if ((type.type != SOCK_RAW && type.type != SOCK_DGRAM) || packet.protocol() > UINT16_MAX)
    return fail(Code::kBadImage, "packet socket");
  return type;
}

Result<void> join(int fd, const image::PacketMembership& membership) {
  MembershipRequest request;
  if (membership.address().size() > sizeof request.address || membership.type() > UINT16_MAX)
    return fail(Code::kBadImage, "membership of a packet socket");
  request.device = static_cast<int>(TRY(sys::device_number(fd, membership.device())));
  request.type = static_cast<uint16_t>(membership.type());
  request.address_size = static_cast<uint16_t>(membership.address().size());
  std::ranges::copy(membership.address(), request.address);
  if (::setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) != 0)
    return fail_errno("membership of a packet socket");
  return {};
}

// From here on it would receive, if its filter let anything pass.
Result<void> take_address(int fd, const image::PacketSocket& packet) {
  if (packet.protocol() == 0 && packet.device().empty()) return {};
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(static_cast<uint16_t>(packet.protocol()));
  if (!packet.device().empty())
    address.sll_ifindex = static_cast<int>(TRY(sys::device_number(fd, packet.device())));
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("bind a packet socket");
  return {};
}

// What a restore sends to itself is not for the socket, so nothing arrives before go_live.
Result<Fd> create_packet(ApplyContext& context, const image::File& file) {
  const image::PacketSocket& packet = file.packet_socket();
  Fd fd = TRY(open_group_socket(context, file.network(), TRY(checked_type(packet))));
  TRY(sys::write_socket_filter(fd.get(), sys::drop_everything_filter()));
  TRY(apply_options(context, fd.get(), packet.common(), sys::OptionPhase::kBeforeBind));
  for (const image::PacketMembership& membership : packet.memberships())
    TRY(join(fd.get(), membership));
  TRY(take_address(fd.get(), packet));
  TRY(apply_identity(fd.get(), file, packet.common()));
  return fd;
}

class PacketSocketKind final : public FileKind {
 public:
  std::string_view name() const override { return "packet socket"; }

  bool recognises(const OpenFile& file) const override {
    const auto& type = file.socket;
    return type && type->family == AF_PACKET &&
           (type->type == SOCK_RAW || type->type == SOCK_DGRAM);
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    return capture_packet(context, file, *out.mutable_packet_socket());
  }

  bool owns(const image::File& file) const override { return file.has_packet_socket(); }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    return create_packet(context, file);
  }

  void go_live(ApplyContext& context, const image::File& file, int fd) const override {
    let_receive(context, fd, file.packet_socket().common(), "packet socket");
  }
};

}  // namespace

const FileKind& packet_socket_kind() {
  static const PacketSocketKind kind;
  return kind;
}

}  // namespace martlet::engine
