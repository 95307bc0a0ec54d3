#include "sys/net_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <charconv>

namespace martlet::sys {
namespace {

std::unexpected<Error> not_a(std::string_view what, std::string_view text,
                             std::string_view example) {
  return std::unexpected(Error(Code::kInvalidArgument, fmt::format("'{}' is not {}", text, what))
                             .with_remedy(fmt::format("write it like {}", example)));
}

}  // namespace

size_t IpAddress::size() const {
  return family == AF_INET ? 4 : 16;
}

bool IpPrefix::contains(const IpAddress& other) const {
  if (other.family != address.family) return false;
  for (uint32_t bit = 0; bit < length; bit++) {
    const uint8_t mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    if ((address.bytes[bit / 8] ^ other.bytes[bit / 8]) & mask) return false;
  }
  return true;
}

Result<IpAddress> parse_ip(std::string_view text) {
  IpAddress address;
  const std::string copy(text);
  for (const int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, copy.c_str(), address.bytes.data()) != 1) continue;
    address.family = family;
    return address;
  }
  return not_a("an IP address", text, "10.1.0.5 or fd00::5");
}

Result<IpPrefix> parse_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos)
    return not_a("an address with a prefix length", text, "10.1.0.5/16");
  IpPrefix prefix;
  prefix.address = TRY(parse_ip(text.substr(0, slash)));
  const std::string_view digits = text.substr(slash + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), prefix.length);
  if (error != std::errc() || end != digits.data() + digits.size() ||
      prefix.length > prefix.address.size() * 8)
    return not_a("an address with a prefix length", text, "10.1.0.5/16");
  return prefix;
}

Result<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac;
  bool good = text.size() == 17;
  for (size_t i = 0; good && i < 6; i++) {
    const char* digits = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, mac.bytes[i], 16);
    good = error == std::errc() && end == digits + 2 && (i == 5 || *end == ':');
  }
  if (!good) return not_a("a MAC address", text, "02:00:00:00:00:05");
  if (mac.bytes[0] & 1) return not_a("the MAC address of one interface", text, "02:00:00:00:00:05");
  return mac;
}

std::string to_string(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(address.family, address.bytes.data(), text, sizeof text);
  return text;
}

std::string to_string(const IpPrefix& prefix) {
  return fmt::format("{}/{}", to_string(prefix.address), prefix.length);
}

std::string to_string(const MacAddress& mac) {
  return fmt::format("{:02x}", fmt::join(mac.bytes, ":"));
}

Result<MacAddress> random_mac() {
  MacAddress mac;
  if (getrandom(mac.bytes.data(), mac.bytes.size(), 0) != static_cast<ssize_t>(mac.bytes.size()))
    return fail_errno("getrandom");
  mac.bytes[0] = static_cast<uint8_t>((mac.bytes[0] & 0xfc) | 0x02);
  return mac;
}

}  // namespace martlet::sys
