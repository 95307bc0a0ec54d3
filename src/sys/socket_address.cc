#include "sys/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace martlet::sys {
namespace {

constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);

const sockaddr* raw(const std::string& address) {
  return reinterpret_cast<const sockaddr*>(address.data());
}

template <typename Sockaddr>
Sockaddr view(const std::string& address) {
  Sockaddr result{};
  std::memcpy(&result, address.data(), std::min(address.size(), sizeof result));
  return result;
}

std::string describe_unix(const std::string& address) {
  if (address.size() <= kPathOffset) return "unnamed";
  std::string name = address.substr(kPathOffset);
  if (name[0] == '\0') {
    std::ranges::replace(name, '\0', '@');
    return name;
  }
  return name.c_str();
}

}  // namespace

int family_of(const std::string& address) {
  sa_family_t family = AF_UNSPEC;
  if (address.size() >= sizeof family) std::memcpy(&family, address.data(), sizeof family);
  return family;
}

Result<std::string> local_address(int fd) {
  std::string address(sizeof(sockaddr_storage), '\0');
  auto length = static_cast<socklen_t>(address.size());
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(address.data()), &length) != 0)
    return fail_errno("getsockname");
  address.resize(length);
  return address;
}

Result<std::string> remote_address(int fd) {
  std::string address(sizeof(sockaddr_storage), '\0');
  auto length = static_cast<socklen_t>(address.size());
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(address.data()), &length) != 0) {
    if (errno == ENOTCONN) return std::string();
    return fail_errno("getpeername");
  }
  address.resize(length);
  return address;
}

Result<void> bind_address(int fd, const std::string& address) {
  if (::bind(fd, raw(address), static_cast<socklen_t>(address.size())) != 0)
    return fail_errno("bind to " + describe_address(address));
  return {};
}

Result<void> connect_address(int fd, const std::string& address) {
  if (::connect(fd, raw(address), static_cast<socklen_t>(address.size())) != 0 &&
      errno != EINPROGRESS)
    return fail_errno("connect to " + describe_address(address));
  return {};
}

std::string describe_address(const std::string& address) {
  char text[INET6_ADDRSTRLEN] = "";
  switch (family_of(address)) {
    case AF_INET: {
      auto in = view<sockaddr_in>(address);
      ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
      return std::string(text) + ":" + std::to_string(ntohs(in.sin_port));
    }
    case AF_INET6: {
      auto in = view<sockaddr_in6>(address);
      ::inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
      return "[" + std::string(text) + "]:" + std::to_string(ntohs(in.sin6_port));
    }
    case AF_UNIX: return describe_unix(address);
    default: return "unnamed";
  }
}

bool InetEndpoint::is_loopback() const {
  if (!v6) return address[0] == 127;
  in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
  return std::memcmp(address.data(), &loopback, address.size()) == 0;
}

bool InetEndpoint::is_wildcard() const {
  return std::ranges::all_of(address, [](uint8_t byte) { return byte == 0; });
}

Result<InetEndpoint> parse_endpoint(const std::string& address) {
  InetEndpoint endpoint;
  if (family_of(address) == AF_INET && address.size() >= sizeof(sockaddr_in)) {
    auto in = view<sockaddr_in>(address);
    endpoint.port = ntohs(in.sin_port);
    std::memcpy(endpoint.address.data(), &in.sin_addr, sizeof in.sin_addr);
    return endpoint;
  }
  if (family_of(address) == AF_INET6 && address.size() >= sizeof(sockaddr_in6)) {
    auto in = view<sockaddr_in6>(address);
    endpoint.port = ntohs(in.sin6_port);
    endpoint.v6 = !IN6_IS_ADDR_V4MAPPED(&in.sin6_addr);
    const uint8_t* bytes = in.sin6_addr.s6_addr;
    std::copy(bytes + (endpoint.v6 ? 0 : 12), bytes + 16, endpoint.address.begin());
    return endpoint;
  }
  return fail(Code::kBadImage, "not an Internet address");
}

std::string to_address(const InetEndpoint& endpoint) {
  if (endpoint.v6) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(endpoint.port);
    std::memcpy(&in.sin6_addr, endpoint.address.data(), sizeof in.sin6_addr);
    return {reinterpret_cast<const char*>(&in), sizeof in};
  }
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(endpoint.port);
  std::memcpy(&in.sin_addr, endpoint.address.data(), sizeof in.sin_addr);
  return {reinterpret_cast<const char*>(&in), sizeof in};
}

}  // namespace martlet::sys
