// Socket addresses as the raw bytes of a sockaddr, which is how they travel in an image, and the
// host-and-port form that packets need. Free functions without state; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace martlet::sys {

// The raw sockaddr that getsockname and getpeername report. remote_address is empty if the socket
// has no peer.
Result<std::string> local_address(int fd);
Result<std::string> remote_address(int fd);

Result<void> bind_address(int fd, const std::string& address);
// Fails with the peer's refusal; EINPROGRESS is a success.
Result<void> connect_address(int fd, const std::string& address);

// For messages: "10.0.0.1:80", "[::1]:80", "/run/socket", "@abstract", "unnamed".
std::string describe_address(const std::string& address);

// AF_UNSPEC if the bytes are too short to name a family.
int family_of(const std::string& address);

// An Internet address and port. An IPv4 address mapped into IPv6 is the IPv4 address.
struct InetEndpoint {
  bool v6 = false;
  std::array<uint8_t, 16> address{};  // network order; IPv4 uses the first four bytes
  uint16_t port = 0;                  // host order

  bool operator==(const InetEndpoint& other) const = default;
  bool has_same_address(const InetEndpoint& other) const {
    return v6 == other.v6 && address == other.address;
  }
  bool is_loopback() const;
  bool is_wildcard() const;
};
// kBadImage if the bytes are no Internet address.
Result<InetEndpoint> parse_endpoint(const std::string& address);
std::string to_address(const InetEndpoint& endpoint);

}  // namespace martlet::sys
