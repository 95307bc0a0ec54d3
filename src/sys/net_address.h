// Network addresses as values: parsed strictly, printed canonically.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace martlet::sys {

// An IPv4 or IPv6 address.
struct IpAddress {
  int family = 0;                   // AF_INET or AF_INET6
  std::array<uint8_t, 16> bytes{};  // network order; IPv4 uses the first four
  size_t size() const;
  bool operator==(const IpAddress&) const = default;
};

// An address of an interface, with the length of its network's prefix.
struct IpPrefix {
  IpAddress address;
  uint32_t length = 0;
  bool contains(const IpAddress& other) const;
  bool operator==(const IpPrefix&) const = default;
};

struct MacAddress {
  std::array<uint8_t, 6> bytes{};
  bool operator==(const MacAddress&) const = default;
};

// Errors of all: kInvalidArgument that quotes the text.
Result<IpAddress> parse_ip(std::string_view text);     // "10.1.0.5", "fd00::5"
Result<IpPrefix> parse_prefix(std::string_view text);  // "10.1.0.5/16"
Result<MacAddress> parse_mac(std::string_view text);   // "02:00:00:00:00:05"

std::string to_string(const IpAddress& address);
std::string to_string(const IpPrefix& prefix);
std::string to_string(const MacAddress& mac);

// A fresh unicast address of the locally administered range.
Result<MacAddress> random_mac();

}  // namespace martlet::sys
