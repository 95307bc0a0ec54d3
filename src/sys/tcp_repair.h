// A TCP socket in repair mode: its sequence numbers, queues, negotiated options and windows can be
// read and written, and nothing that happens to it is told to the peer. Closing it is silent too.
//
// Needs CAP_NET_ADMIN in the user namespace of the socket's network namespace. Free functions
// without state; any thread. See tcp(7) and Documentation of TCP_REPAIR.
#pragma once

#include <netinet/tcp.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace martlet::sys {

enum class RepairMode {
  kOn,
  kOff,              // and probe the peer, whose answer brings both ends up to date
  kOffWithoutProbe,  // as if nothing had been
};
// Leaving repair mode clears SO_REUSEADDR; write the option again afterwards.
Result<void> set_tcp_repair(int fd, RepairMode mode);

enum class TcpQueue { kReceive, kSend };

// The sequence number after the last byte of the queue. Setting it needs a closed socket with an
// empty queue, and then names the queue's first byte.
Result<uint32_t> tcp_sequence(int fd, TcpQueue queue);
Result<void> set_tcp_sequence(int fd, TcpQueue queue, uint32_t sequence);

// The first `length` bytes of a queue, or fewer if it holds fewer.
Result<std::string> peek_tcp_queue(int fd, TcpQueue queue, size_t length);
// Appends to a queue. Bytes of the send queue count as sent, though nothing is. The socket's
// buffers must be large enough.
Result<void> fill_tcp_queue(int fd, TcpQueue queue, std::string_view bytes);

// TCP_INFO with what Linux 4.6 and newer tell besides.
struct TcpInfo : tcp_info {
  uint64_t pacing_rate;
  uint64_t largest_pacing_rate;
  uint64_t bytes_acknowledged;
  uint64_t bytes_received;
  uint32_t segments_sent;
  uint32_t segments_received;  // every one that got past the filter
  uint32_t unsent_bytes;       // written and never sent, the end of the stream counted as one
};

// What the two ends agreed upon in their first segments.
struct TcpNegotiated {
  uint32_t mss_clamp = 0;
  bool window_scaling = false;
  uint32_t send_scale = 0;
  uint32_t receive_scale = 0;
  bool sack = false;
  bool timestamps = false;
};
Result<void> set_tcp_negotiated(int fd, const TcpNegotiated& negotiated);
Result<TcpNegotiated> tcp_negotiated(int fd, const TcpInfo& info);

using TcpWindow = struct tcp_repair_window;
Result<TcpWindow> tcp_window(int fd);
Result<void> set_tcp_window(int fd, const TcpWindow& window);

// The socket's timestamp clock, an opaque value that the other call accepts.
Result<uint32_t> tcp_timestamp(int fd);
Result<void> set_tcp_timestamp(int fd, uint32_t timestamp);

// `tcpi_state` is one of TCP_ESTABLISHED, TCP_LISTEN, ... For a listener `tcpi_unacked`
// is the number of connections waiting in accept() and `tcpi_sacked` the backlog.
Result<TcpInfo> tcp_information(int fd);

// Bytes written and not acknowledged by the peer (with the end of the stream counted as one).
Result<uint32_t> tcp_unacknowledged(int fd);
// Bytes received and not read.
Result<uint32_t> tcp_unread(int fd);

}  // namespace martlet::sys
