#include "sys/ethernet_frame.h"

#include <netinet/in.h>

#include <algorithm>
#include <initializer_list>

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

Bytes arp_request(const MacAddress& mac, const IpAddress& address) {
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
Bytes neighbour_advertisement(const MacAddress& mac, const IpAddress& address) {
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

bool is_frame(std::span<const std::byte> frame) {
  return frame.size() >= kOffloadHeaderBytes + kEthernetHeaderBytes &&
         frame.size() <= kMaxFrameBytes;
}

MacAddress source_of(std::span<const std::byte> frame) {
  MacAddress mac;
  std::ranges::transform(frame.subspan(kOffloadHeaderBytes + 6, 6), mac.bytes.begin(),
                         [](std::byte byte) { return static_cast<uint8_t>(byte); });
  return mac;
}

bool is_to_group(std::span<const std::byte> frame) {
  return (frame[kOffloadHeaderBytes] & std::byte{1}) != std::byte{0};
}

bool is_connection_request(std::span<const std::byte> frame) {
  constexpr uint8_t kSyn = 2;
  constexpr uint8_t kAcknowledge = 16;
  constexpr size_t kFlags = 13;  // in the TCP header
  if (!is_frame(frame)) return false;
  const auto packet = frame.subspan(kOffloadHeaderBytes + kEthernetHeaderBytes);
  const auto byte = [&](size_t at) {
    return at < packet.size() ? static_cast<uint8_t>(packet[at]) : uint8_t{0};
  };
  const auto type = frame.subspan(kOffloadHeaderBytes + kEthernetHeaderBytes - 2, 2);
  const bool v4 = type[0] == std::byte{0x08} && type[1] == std::byte{0x00};
  const bool v6 = type[0] == std::byte{0x86} && type[1] == std::byte{0xdd};
  const bool later_fragment = v4 && ((byte(6) & 0x1f) | byte(7)) != 0;
  if ((!v4 && !v6) || later_fragment || byte(v4 ? 9 : 6) != IPPROTO_TCP) return false;
  const size_t header = v4 ? (byte(0) & 15u) * 4 : 40;
  return (byte(header + kFlags) & (kSyn | kAcknowledge)) == kSyn;
}

Frame make_announcement(const MacAddress& mac, const IpAddress& address) {
  const Bytes bytes =
      address.family == AF_INET ? arp_request(mac, address) : neighbour_advertisement(mac, address);
  Frame frame(kOffloadHeaderBytes);
  std::ranges::transform(bytes, std::back_inserter(frame),
                         [](uint8_t byte) { return std::byte{byte}; });
  return frame;
}

}  // namespace martlet::sys
