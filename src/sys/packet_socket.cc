#include "sys/packet_socket.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>

namespace martlet::sys {

namespace {

// struct virtio_net_hdr; <linux/virtio_net.h> is not valid C++.
constexpr size_t kOffloadHeaderBytes = 10;

// The largest frame that segmentation offload makes, with its header.
constexpr size_t kMaxFrameBytes = kOffloadHeaderBytes + ETH_HLEN + 65536;
constexpr int kReceiveBufferBytes = 8 << 20;

Result<void> set_option(const Fd& socket, int level, int name, const void* value, socklen_t size,
                        const char* what) {
  if (::setsockopt(socket.get(), level, name, value, size) != 0) return fail_errno(what);
  return {};
}

// Accepts frames to the station, to IPv6 multicast groups (neighbour solicitations), and ARP.
Result<void> attach_filter(const Fd& socket, const MacAddress& mac) {
  const auto& m = mac.bytes;
  const uint32_t high = uint32_t{m[0]} << 24 | uint32_t{m[1]} << 16 | uint32_t{m[2]} << 8 | m[3];
  const uint32_t low = uint32_t{m[4]} << 8 | m[5];
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 2),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 4, 0),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x3333, 2, 0),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0x40000),     BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog program{.len = std::size(code), .filter = code};
  return set_option(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program,
                    "attach a packet filter");
}

}  // namespace

Result<PacketSocket> PacketSocket::open(const std::string& link, int protocol) {
  const unsigned index = ::if_nametoindex(link.c_str());
  if (index == 0) return fail_errno("link " + link);
  Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return fail_errno("packet socket");
  const int on = 1;
  TRY(set_option(socket, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on, "PACKET_VNET_HDR"));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(static_cast<uint16_t>(protocol));
  address.sll_ifindex = static_cast<int>(index);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("bind a packet socket to " + link);
  return PacketSocket(std::move(socket));
}

Result<PacketSocket> PacketSocket::open_for_sending(const std::string& link) {
  return open(link, 0);  // protocol 0 receives nothing
}

Result<PacketSocket> PacketSocket::open_for_station(const std::string& link,
                                                    const MacAddress& mac) {
  PacketSocket made = TRY(open(link, ETH_P_ALL));
  // A refusal leaves the default size.
  ::setsockopt(made.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes,
               sizeof kReceiveBufferBytes);
  TRY(attach_filter(made.socket_, mac));
  packet_mreq promiscuous{};
  promiscuous.mr_ifindex = static_cast<int>(::if_nametoindex(link.c_str()));
  promiscuous.mr_type = PACKET_MR_PROMISC;
  TRY(set_option(made.socket_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous,
                 "make a link promiscuous"));
  return made;
}

Result<std::vector<std::byte>> PacketSocket::receive() {
  std::vector<std::byte> frame(kMaxFrameBytes);
  const ssize_t got = ::recv(socket_.get(), frame.data(), frame.size(), 0);
  if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
    return fail_errno("receive a frame");
  frame.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return frame;
}

Result<void> PacketSocket::send(std::span<const std::byte> frame) {
  if (frame.size() < kOffloadHeaderBytes + ETH_HLEN || frame.size() > kMaxFrameBytes)
    return fail(Code::kInvalidArgument, "a frame of impossible length");
  if (::send(socket_.get(), frame.data(), frame.size(), 0) < 0) return fail_errno("send a frame");
  return {};
}

}  // namespace martlet::sys
