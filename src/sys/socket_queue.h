// What waits in a socket's receive queue, read without taking it out.
//
// Works for sockets that honour SO_PEEK_OFF: Unix and UDP. The offset that the socket had is put
// back. An empty datagram that was peeked at before is not seen again: the kernel passes over it.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::sys {

struct QueuedMessage {
  std::string data;
  std::string sender;                // sockaddr; empty: unnamed, or a stream
  std::string destination;           // sockaddr, if IP_RECVORIGDSTADDR or its IPv6 twin is set
  std::vector<Fd> descriptors;       // duplicates here of what travels with it (SCM_RIGHTS)
  std::optional<ucred> credentials;  // of the sender, if SO_PASSCRED is set
  size_t segment_bytes = 0;  // of datagrams that the kernel has joined (UDP_GRO); 0: it is one
};

// The messages of a datagram or packet socket, one by one. A stream is cut where descriptors begin
// and end.
Result<std::vector<QueuedMessage>> peek_messages(int fd);

// The same for a stream or a packet socket, which may be at its end: nothing is read beyond
// `bytes`.
Result<std::vector<QueuedMessage>> peek_messages_of(int fd, size_t bytes);

// Bytes of memory that what the socket has received takes, and what it has sent or is collecting.
struct QueueMemory {
  uint32_t received = 0;
  uint32_t sent = 0;
};
Result<QueueMemory> queue_memory(int fd);

// Whether a UDP or UDP-Lite socket collects a datagram that is not sent yet (MSG_MORE, UDP_CORK).
// It must have a port; the kernel would give it one.
bool collects_datagram(int fd, int family);

}  // namespace martlet::sys
