// What the kernel reports about the sockets of a network namespace through NETLINK_SOCK_DIAG.
//
// A query socket belongs to the namespace of the thread that opened it and may then be used from
// anywhere, by one thread at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "sys/socket_address.h"

namespace martlet::sys {

Result<Fd> open_sock_diag();

struct UnixSocketInfo {
  uint32_t inode = 0;
  uint8_t type = 0;   // SOCK_STREAM, ...
  uint8_t state = 0;  // TCP_ESTABLISHED, TCP_LISTEN, TCP_CLOSE
  std::string name;   // as in sun_path, a leading zero byte for an abstract one; empty: unnamed
  std::optional<uint64_t> file_inode;  // of the path it is bound to
  // Set if it is connected; zero if the other end has been closed or not been accepted yet.
  std::optional<uint32_t> peer;
  uint32_t receive_queue = 0;  // bytes; for a listener, connections waiting
  uint32_t send_queue = 0;     // bytes; for a listener, the backlog
  uint8_t shutdown = 0;        // bit 0: receive side, bit 1: send side
};

// kNotFound if the namespace has no such socket.
Result<UnixSocketInfo> query_unix_socket(int diag, uint32_t inode);

struct TcpSocketInfo {
  uint32_t inode = 0;  // zero if no process has it
  uint8_t state = 0;
  InetEndpoint local;
  InetEndpoint remote;
  uint32_t receive_queue = 0;  // for a listener, connections waiting in accept()
};

// Every TCP socket of a family (AF_INET, AF_INET6) whose state's bit (1 << TCP_...) is set.
Result<std::vector<TcpSocketInfo>> list_tcp_sockets(int diag, int family, uint32_t states);

struct PacketMembership {
  uint32_t device = 0;
  uint32_t count = 0;  // how often it was joined
  uint16_t type = 0;   // PACKET_MR_...
  std::string address;
};

struct PacketSocketInfo {
  bool has_ring = false;  // frames in memory that the program maps
  std::vector<PacketMembership> memberships;
};

// By inode; the kernel tells only of all of them together.
Result<std::map<uint32_t, PacketSocketInfo>> list_packet_sockets(int diag);

}  // namespace martlet::sys
