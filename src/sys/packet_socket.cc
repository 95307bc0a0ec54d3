#include "sys/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace martlet::sys {

namespace {

constexpr int kReceiveBufferBytes = 8 << 20;
constexpr timeval kSendTimeout{.tv_sec = 1, .tv_usec = 0};

Result<void> set_option(const Fd& socket, int level, int name, const void* value, socklen_t size,
                        const char* what) {
  if (::setsockopt(socket.get(), level, name, value, size) != 0) return fail_errno(what);
  return {};
}

}  // namespace

Result<PacketSocket> PacketSocket::bind(const std::string& link, int protocol) {
  const unsigned index = ::if_nametoindex(link.c_str());
  if (index == 0) return fail_errno("link " + link);
  Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("packet socket");
  const int on = 1;
  TRY(set_option(socket, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on, "PACKET_VNET_HDR"));
  TRY(set_option(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on,
                 "PACKET_IGNORE_OUTGOING"));
  TRY(set_option(socket, SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof kSendTimeout,
                 "SO_SNDTIMEO"));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(static_cast<uint16_t>(protocol));
  address.sll_ifindex = static_cast<int>(index);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("bind a packet socket to " + link);
  return PacketSocket(std::move(socket));
}

Result<PacketSocket> PacketSocket::open_for_sending(const std::string& link) {
  return bind(link, 0);  // protocol 0 receives nothing
}

Result<PacketSocket> PacketSocket::open(const std::string& link) {
  PacketSocket made = TRY(bind(link, ETH_P_ALL));
  // A refusal leaves the default size.
  ::setsockopt(made.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes,
               sizeof kReceiveBufferBytes);
  return made;
}

Result<Frame> PacketSocket::receive() {
  std::array<std::byte, kMaxFrameBytes> buffer;
  const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
    return fail_errno("receive a frame");
  return Frame(buffer.begin(), buffer.begin() + (got > 0 ? got : 0));
}

Result<void> PacketSocket::send(std::span<const std::byte> frame) {
  if (!is_frame(frame)) return fail(Code::kInvalidArgument, "a frame of impossible length");
  if (::send(socket_.get(), frame.data(), frame.size(), 0) < 0) return fail_errno("send a frame");
  return {};
}

}  // namespace martlet::sys
