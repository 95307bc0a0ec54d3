#include "sys/announce.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <span>
#include <vector>

#include "base/fd.h"

namespace martlet::sys {
namespace {

using Bytes = std::vector<uint8_t>;

void append(Bytes& frame, std::span<const uint8_t> bytes) {
  frame.insert(frame.end(), bytes.begin(), bytes.end());
}

void append(Bytes& frame, std::initializer_list<uint8_t> bytes) {
  frame.insert(frame.end(), bytes);
}

std::span<const uint8_t> bytes_of(const IpAddress& address) {
  return std::span(address.bytes).first(address.size());
}

Bytes arp_frame(const MacAddress& mac, const IpAddress& address) {
  const std::array<uint8_t, 6> everyone{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  Bytes frame;
  append(frame, everyone);
  append(frame, mac.bytes);
  append(frame, {0x08, 0x06});                 // EtherType: ARP
  append(frame, {0, 1, 0x08, 0, 6, 4, 0, 1});  // Ethernet, IPv4, a request
  append(frame, mac.bytes);
  append(frame, bytes_of(address));  // asked by the address
  append(frame, std::array<uint8_t, 6>{});
  append(frame, bytes_of(address));  // about itself
  return frame;
}

uint16_t internet_checksum(const Bytes& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2)
    sum += static_cast<uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// RFC 4861, section 4.4, to all nodes of the link.
Bytes advertisement_frame(const MacAddress& mac, const IpAddress& address) {
  const std::array<uint8_t, 16> all_nodes{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  Bytes message{136, 0, 0, 0, 0x20, 0, 0, 0};  // neighbour advertisement, override
  append(message, bytes_of(address));
  append(message, {2, 1});  // option: target link-layer address
  append(message, mac.bytes);

  Bytes pseudo_header;
  append(pseudo_header, bytes_of(address));
  append(pseudo_header, all_nodes);
  append(pseudo_header, {0, 0, 0, static_cast<uint8_t>(message.size()), 0, 0, 0, IPPROTO_ICMPV6});
  append(pseudo_header, message);
  const uint16_t checksum = internet_checksum(pseudo_header);
  message[2] = static_cast<uint8_t>(checksum >> 8);
  message[3] = static_cast<uint8_t>(checksum & 0xff);

  Bytes frame{0x33, 0x33, 0, 0, 0, 1};
  append(frame, mac.bytes);
  append(frame, {0x86, 0xdd});  // EtherType: IPv6
  append(frame, {0x60, 0, 0, 0, 0, static_cast<uint8_t>(message.size()), IPPROTO_ICMPV6, 255});
  append(frame, bytes_of(address));
  append(frame, all_nodes);
  append(frame, message);
  return frame;
}

}  // namespace

Result<void> announce_address(const std::string& link, const MacAddress& mac,
                              const IpAddress& address) {
  const Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("packet socket");
  sockaddr_ll destination{};
  destination.sll_family = AF_PACKET;
  destination.sll_ifindex = static_cast<int>(if_nametoindex(link.c_str()));
  if (destination.sll_ifindex == 0) return fail_errno("network link " + link);
  const Bytes frame =
      address.family == AF_INET ? arp_frame(mac, address) : advertisement_frame(mac, address);
  if (sendto(socket.get(), frame.data(), frame.size(), 0,
             reinterpret_cast<const sockaddr*>(&destination), sizeof destination) < 0)
    return fail_errno(fmt::format("announcement of {}", to_string(address)));
  return {};
}

}  // namespace martlet::sys
