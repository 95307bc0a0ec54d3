#include "sys/packet_injector.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

namespace martlet::sys {
namespace {

constexpr uint8_t kHopLimit = 64;

template <typename Header>
std::string_view bytes_of(const Header& header) {
  return {reinterpret_cast<const char*>(&header), sizeof header};
}

std::string_view address_bytes(const InetEndpoint& endpoint) {
  return {reinterpret_cast<const char*>(endpoint.address.data()), endpoint.v6 ? 16u : 4u};
}

// The Internet checksum (RFC 1071) in network order.
uint16_t checksum(std::string_view bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2)
    sum += static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]) << 8 |
                                 static_cast<uint8_t>(bytes[i + 1]));
  if (bytes.size() % 2 != 0) sum += static_cast<uint32_t>(static_cast<uint8_t>(bytes.back()) << 8);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

// Of a transport packet with the pseudo header of its family (RFC 793, RFC 8200).
uint16_t transport_checksum(const InetEndpoint& from, const InetEndpoint& to, uint8_t protocol,
                            std::string_view packet) {
  std::string covered;
  covered += address_bytes(from);
  covered += address_bytes(to);
  uint32_t length = htonl(static_cast<uint32_t>(packet.size()));
  uint32_t next = htonl(protocol);
  covered += bytes_of(length);
  covered += bytes_of(next);
  covered += packet;
  return checksum(covered);
}

std::string ip_header(const InetEndpoint& from, const InetEndpoint& to, uint8_t protocol,
                      size_t payload) {
  if (from.v6) {
    ip6_hdr header{};
    header.ip6_flow = htonl(6u << 28);
    header.ip6_plen = htons(static_cast<uint16_t>(payload));
    header.ip6_nxt = protocol;
    header.ip6_hlim = kHopLimit;
    std::memcpy(&header.ip6_src, from.address.data(), sizeof header.ip6_src);
    std::memcpy(&header.ip6_dst, to.address.data(), sizeof header.ip6_dst);
    return std::string(bytes_of(header));
  }
  iphdr header{};
  header.version = 4;
  header.ihl = sizeof header / 4;
  header.tot_len = htons(static_cast<uint16_t>(sizeof header + payload));
  header.ttl = kHopLimit;
  header.protocol = protocol;
  std::memcpy(&header.saddr, from.address.data(), sizeof header.saddr);
  std::memcpy(&header.daddr, to.address.data(), sizeof header.daddr);
  return std::string(bytes_of(header));
}

Result<void> inject(int injector, const InetEndpoint& from, const InetEndpoint& to,
                    uint8_t protocol, std::string_view payload) {
  if (from.v6 != to.v6)
    return fail(Code::kBadImage, "packet between addresses of different families");
  std::string packet = ip_header(from, to, protocol, payload.size());
  packet += payload;
  InetEndpoint route = to;
  route.port = 0;
  std::string target = to_address(route);
  if (::sendto(injector, packet.data(), packet.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(target.data()),
               static_cast<socklen_t>(target.size())) < 0)
    return fail_errno("inject a packet to " + describe_address(to_address(to)));
  return {};
}

}  // namespace

Result<Fd> open_packet_injector(bool v6) {
  // With this protocol the caller supplies the network header.
  Fd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!fd.valid()) return fail_errno("open a raw socket");
  return fd;
}

Result<void> inject_segment(int injector, const TcpSegment& segment) {
  tcphdr header{};
  header.source = htons(segment.from.port);
  header.dest = htons(segment.to.port);
  header.seq = htonl(segment.sequence);
  header.ack_seq = htonl(segment.acknowledged);
  header.doff = sizeof header / 4;
  header.th_flags = segment.flags;
  header.window = htons(segment.window);
  header.check = transport_checksum(segment.from, segment.to, IPPROTO_TCP, bytes_of(header));
  return inject(injector, segment.from, segment.to, IPPROTO_TCP, bytes_of(header));
}

Result<void> inject_datagram(int injector, DatagramProtocol protocol, const InetEndpoint& from,
                             const InetEndpoint& to, std::string_view data) {
  udphdr header{};
  header.source = htons(from.port);
  header.dest = htons(to.port);
  bool lite = protocol == DatagramProtocol::kUdpLite;
  uint8_t number = lite ? IPPROTO_UDPLITE : IPPROTO_UDP;
  // UDP-Lite has the extent of the checksum here, where zero is the whole packet (RFC 3828).
  if (!lite) header.len = htons(static_cast<uint16_t>(sizeof header + data.size()));
  std::string packet(bytes_of(header));
  packet += data;
  header.check = transport_checksum(from, to, number, packet);
  if (header.check == 0) header.check = 0xffff;  // zero means "none"
  packet.replace(0, sizeof header, bytes_of(header));
  return inject(injector, from, to, number, packet);
}

}  // namespace martlet::sys
