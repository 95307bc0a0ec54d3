// What waits in a socket's receive queue, read without taking it out.
//
// Works for sockets that honour SO_PEEK_OFF: Unix and UDP. The offset that the socket had is put
// back. An empty datagram that was peeked at before is not seen again: the kernel passes over it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace martlet::sys {

struct QueuedMessage {
  std::string data;
  std::string sender;            // sockaddr; empty: unnamed, or a stream
  std::string destination;       // sockaddr, if IP_RECVORIGDSTADDR or its IPv6 twin is set
  bool has_descriptors = false;  // SCM_RIGHTS
};

// The messages of a datagram or packet socket, one by one.
Result<std::vector<QueuedMessage>> peek_messages(int fd);

// The same for a stream or a packet socket, which may be at its end: nothing is read beyond
// `bytes`.
Result<std::vector<QueuedMessage>> peek_messages_of(int fd, size_t bytes);

}  // namespace martlet::sys
