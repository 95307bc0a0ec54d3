// The states of a TCP connection in terms of what each direction has seen. Pure functions.
#pragma once

#include <netinet/tcp.h>

#include "image/sockets.pb.h"

namespace martlet::engine {

// The peer has ended its direction: the receive sequence has counted the end as one byte.
inline bool peer_has_ended(uint32_t state) {
  return state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSING;
}

// This end has ended its direction, and the peer has not acknowledged it.
inline bool end_is_unacknowledged(uint32_t state) {
  return state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK || state == TCP_CLOSING;
}

inline bool has_ended(uint32_t state) {
  return end_is_unacknowledged(state) || state == TCP_FIN_WAIT2;
}

inline bool is_connection(uint32_t state) {
  return state == TCP_ESTABLISHED || peer_has_ended(state) || has_ended(state);
}

}  // namespace martlet::engine
