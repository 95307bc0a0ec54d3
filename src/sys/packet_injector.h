// Packets made by hand that seem to come from a peer, delivered to a socket of the same network
// namespace. They never leave the host: a packet to one of its own addresses goes over the loopback
// device, whatever its source address says.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "sys/socket_address.h"

namespace martlet::sys {

// A raw socket of the calling thread's network namespace for packets of one family. Needs
// CAP_NET_RAW and the loopback device up.
Result<Fd> open_packet_injector(bool v6);

struct TcpSegment {
  static constexpr uint8_t kFin = 1;
  static constexpr uint8_t kReset = 4;
  static constexpr uint8_t kAcknowledge = 16;

  InetEndpoint from;
  InetEndpoint to;
  uint32_t sequence = 0;
  uint32_t acknowledged = 0;
  uint16_t window = 0;  // as it stands in the header: not scaled
  uint8_t flags = 0;
};
Result<void> inject_segment(int injector, const TcpSegment& segment);

enum class DatagramProtocol { kUdp, kUdpLite };
Result<void> inject_datagram(int injector, DatagramProtocol protocol, const InetEndpoint& from,
                             const InetEndpoint& to, std::string_view data);

}  // namespace martlet::sys
