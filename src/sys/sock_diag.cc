#include "sys/sock_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/packet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <functional>

namespace martlet::sys {
namespace {

constexpr size_t kBufferBytes = 32768;

using MessageHandler = std::function<void(const nlmsghdr&)>;

template <typename Request>
Result<void> send_request(int diag, const Request& request, uint16_t flags) {
  struct {
    nlmsghdr header;
    Request body;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  message.body = request;
  if (::send(diag, &message, sizeof message, 0) < 0) return fail_errno("ask sock_diag");
  return {};
}

Result<void> error_of(const nlmsghdr& message) {
  int error = 0;
  std::memcpy(&error, NLMSG_DATA(&message), sizeof error);
  if (error == 0) return {};
  return std::unexpected(Error::from_errno(-error, "sock_diag"));
}

enum class Answer { kSingle, kDump };

// Hands every message of the answer to `handle`.
Result<void> receive_answer(int diag, Answer answer, const MessageHandler& handle) {
  alignas(nlmsghdr) char buffer[kBufferBytes];
  for (;;) {
    ssize_t got = ::recv(diag, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("sock_diag");
    auto left = static_cast<unsigned>(got);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == NLMSG_DONE) return {};
      if (message->nlmsg_type == NLMSG_ERROR) return error_of(*message);
      handle(*message);
      if (answer == Answer::kSingle) return {};
    }
  }
}

template <typename Value>
Value read_attribute(const rtattr& attribute) {
  Value value{};
  std::memcpy(&value, RTA_DATA(&attribute), std::min(sizeof value, RTA_PAYLOAD(&attribute)));
  return value;
}

void read_unix_attribute(const rtattr& attribute, UnixSocketInfo& info) {
  switch (attribute.rta_type) {
    case UNIX_DIAG_NAME:
      info.name.assign(static_cast<const char*>(RTA_DATA(&attribute)), RTA_PAYLOAD(&attribute));
      break;
    case UNIX_DIAG_VFS:
      info.file_inode = read_attribute<unix_diag_vfs>(attribute).udiag_vfs_ino;
      break;
    case UNIX_DIAG_PEER: info.peer = read_attribute<uint32_t>(attribute); break;
    case UNIX_DIAG_RQLEN: {
      auto lengths = read_attribute<unix_diag_rqlen>(attribute);
      info.receive_queue = lengths.udiag_rqueue;
      info.send_queue = lengths.udiag_wqueue;
      break;
    }
    case UNIX_DIAG_SHUTDOWN: info.shutdown = read_attribute<uint8_t>(attribute); break;
    default: break;
  }
}

UnixSocketInfo parse_unix(const nlmsghdr& message) {
  auto* body = static_cast<const unix_diag_msg*>(NLMSG_DATA(&message));
  UnixSocketInfo info;
  info.inode = body->udiag_ino;
  info.type = body->udiag_type;
  info.state = body->udiag_state;
  auto left = static_cast<int>(message.nlmsg_len - NLMSG_LENGTH(sizeof *body));
  auto* attribute = reinterpret_cast<const rtattr*>(body + 1);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
    read_unix_attribute(*attribute, info);
  return info;
}

InetEndpoint endpoint(uint8_t family, const uint32_t (&address)[4], uint16_t port) {
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = port;
  if (family == AF_INET6) {
    std::memcpy(&in.sin6_addr, address, sizeof in.sin6_addr);
  } else {
    in.sin6_addr.s6_addr[10] = in.sin6_addr.s6_addr[11] = 0xff;
    std::memcpy(&in.sin6_addr.s6_addr[12], address, 4);
  }
  return *parse_endpoint(std::string(reinterpret_cast<const char*>(&in), sizeof in));
}

TcpSocketInfo parse_tcp(const nlmsghdr& message) {
  auto* body = static_cast<const inet_diag_msg*>(NLMSG_DATA(&message));
  TcpSocketInfo info;
  info.inode = body->idiag_inode;
  info.state = body->idiag_state;
  info.local = endpoint(body->idiag_family, body->id.idiag_src, body->id.idiag_sport);
  info.remote = endpoint(body->idiag_family, body->id.idiag_dst, body->id.idiag_dport);
  info.receive_queue = body->idiag_rqueue;
  return info;
}

void read_memberships(const rtattr& attribute, PacketSocketInfo& info) {
  const auto* entries = static_cast<const packet_diag_mclist*>(RTA_DATA(&attribute));
  for (size_t i = 0; i < RTA_PAYLOAD(&attribute) / sizeof *entries; ++i) {
    size_t size = std::min<size_t>(entries[i].pdmc_alen, sizeof entries[i].pdmc_addr);
    info.memberships.push_back(
        {entries[i].pdmc_index, entries[i].pdmc_count, entries[i].pdmc_type,
         std::string(reinterpret_cast<const char*>(entries[i].pdmc_addr), size)});
  }
}

PacketSocketInfo parse_packet(const nlmsghdr& message) {
  auto* body = static_cast<const packet_diag_msg*>(NLMSG_DATA(&message));
  PacketSocketInfo info;
  auto left = static_cast<int>(message.nlmsg_len - NLMSG_LENGTH(sizeof *body));
  auto* attribute = reinterpret_cast<const rtattr*>(body + 1);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type == PACKET_DIAG_RX_RING || attribute->rta_type == PACKET_DIAG_TX_RING)
      info.has_ring = true;
    if (attribute->rta_type == PACKET_DIAG_MCLIST) read_memberships(*attribute, info);
  }
  return info;
}

}  // namespace

Result<Fd> open_sock_diag() {
  Fd fd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd.valid()) return fail_errno("open sock_diag");
  return fd;
}

Result<UnixSocketInfo> query_unix_socket(int diag, uint32_t inode) {
  unix_diag_req request{};
  request.sdiag_family = AF_UNIX;
  request.udiag_states = UINT32_MAX;
  request.udiag_ino = inode;
  request.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN;
  request.udiag_cookie[0] = request.udiag_cookie[1] = UINT32_MAX;
  TRY(send_request(diag, request, 0));
  UnixSocketInfo info;
  TRY_IN(receive_answer(diag, Answer::kSingle,
                        [&](const nlmsghdr& message) { info = parse_unix(message); }),
         "Unix socket " + std::to_string(inode));
  return info;
}

Result<std::vector<TcpSocketInfo>> list_tcp_sockets(int diag, int family, uint32_t states) {
  std::vector<TcpSocketInfo> sockets;
  inet_diag_req_v2 request{};
  request.sdiag_family = static_cast<uint8_t>(family);
  request.sdiag_protocol = IPPROTO_TCP;
  request.idiag_states = states;
  TRY(send_request(diag, request, NLM_F_DUMP));
  TRY(receive_answer(diag, Answer::kDump,
                     [&](const nlmsghdr& message) { sockets.push_back(parse_tcp(message)); }));
  return sockets;
}

Result<std::map<uint32_t, PacketSocketInfo>> list_packet_sockets(int diag) {
  packet_diag_req request{};
  request.sdiag_family = AF_PACKET;
  request.pdiag_show = PACKET_SHOW_MCLIST | PACKET_SHOW_RING_CFG;
  TRY(send_request(diag, request, NLM_F_DUMP));
  std::map<uint32_t, PacketSocketInfo> sockets;
  TRY(receive_answer(diag, Answer::kDump, [&](const nlmsghdr& message) {
    auto* body = static_cast<const packet_diag_msg*>(NLMSG_DATA(&message));
    sockets.insert_or_assign(body->pdiag_ino, parse_packet(message));
  }));
  return sockets;
}

}  // namespace martlet::sys
