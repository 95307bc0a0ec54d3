#include "engine/sockets/multicast.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "engine/sockets/common.h"
#include "sys/socket_address.h"

namespace martlet::engine {
namespace {

constexpr uint32_t kMostSources = 1024;

struct Group {
  uint32_t device = 0;
  std::string address;  // sockaddr
};

bool is_v6(const std::string& address) {
  return sys::family_of(address) == AF_INET6;
}

int level_of(const std::string& address) {
  return is_v6(address) ? IPPROTO_IPV6 : IPPROTO_IP;
}

// "2 eth0 : 2 V3" begins a device, "\t\t010000E0 1 0:00000000 0" is one of its groups, a word of
// the machine.
Result<void> list_v4(CaptureContext& context, uint32_t network, std::vector<Group>& groups) {
  std::istringstream lines(*TRY(context.network_table(network, "net/igmp")));
  std::string line;
  std::getline(lines, line);
  Group group;
  while (std::getline(lines, line)) {
    if (!line.starts_with('\t')) {
      group.device = static_cast<uint32_t>(std::strtoul(line.c_str(), nullptr, 10));
      continue;
    }
    sys::InetEndpoint endpoint;
    auto word = static_cast<uint32_t>(std::strtoul(line.c_str(), nullptr, 16));
    std::memcpy(endpoint.address.data(), &word, sizeof word);
    group.address = sys::to_address(endpoint);
    groups.push_back(group);
  }
  return {};
}

// "2 eth0 ff020000000000000000000000000001 1 0000000C 0", in the order of the bytes.
Result<void> list_v6(CaptureContext& context, uint32_t network, std::vector<Group>& groups) {
  constexpr size_t kDigits = 32;
  auto text = context.network_table(network, "net/igmp6");
  if (!text) return {};  // no IPv6
  std::istringstream words(**text);
  Group group;
  std::string name;
  std::string digits;
  while (words >> group.device >> name >> digits && digits.size() == kDigits) {
    sys::InetEndpoint endpoint;
    endpoint.v6 = true;
    for (size_t i = 0; i < endpoint.address.size(); ++i)
      endpoint.address[i] =
          static_cast<uint8_t>(std::strtoul(digits.substr(i * 2, 2).c_str(), nullptr, 16));
    group.address = sys::to_address(endpoint);
    groups.push_back(group);
    std::getline(words, name);
  }
  return {};
}

void put_address(const std::string& address, sockaddr_storage& out) {
  std::memcpy(&out, address.data(), std::min(address.size(), sizeof out));
}

std::string address_of(const sockaddr_storage& source) {
  size_t size = source.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  return {reinterpret_cast<const char*>(&source), size};
}

using FilterBytes = std::vector<char>;

group_filter* filter_in(FilterBytes& bytes) {
  return reinterpret_cast<group_filter*>(bytes.data());
}

// What the socket receives from the group, with at most so many sources; empty if it is not in it.
Result<FilterBytes> ask_filter(int fd, const Group& group, uint32_t sources) {
  FilterBytes bytes(GROUP_FILTER_SIZE(sources));
  group_filter* filter = filter_in(bytes);
  filter->gf_interface = group.device;
  put_address(group.address, filter->gf_group);
  filter->gf_numsrc = sources;
  auto size = static_cast<socklen_t>(bytes.size());
  if (::getsockopt(fd, level_of(group.address), MCAST_MSFILTER, filter, &size) == 0) return bytes;
  // A raw socket of IPv6 has no options of IPv4.
  if (errno == EADDRNOTAVAIL || errno == ENOPROTOOPT) return FilterBytes();
  return fail_errno("multicast groups of a socket");
}

Result<void> capture_membership(int fd, const Group& group, image::SocketCommon& out) {
  FilterBytes bytes = TRY(ask_filter(fd, group, 0));
  if (bytes.empty()) return {};
  uint32_t sources = filter_in(bytes)->gf_numsrc;
  if (sources > kMostSources)
    return fail(Code::kUnsupported, "multicast group " + sys::describe_address(group.address) +
                                        " with " + std::to_string(sources) + " sources");
  bytes = TRY(ask_filter(fd, group, sources));
  const group_filter* filter = filter_in(bytes);
  image::GroupMembership& membership = *out.add_memberships();
  membership.set_device(TRY(sys::device_name(fd, group.device)));
  membership.set_group(group.address);
  membership.set_mode(filter->gf_fmode);
  for (uint32_t i = 0; i < sources; ++i) membership.add_sources(address_of(filter->gf_slist[i]));
  return {};
}

template <typename Request>
Result<void> request(int fd, int option, const std::string& group, const Request& what) {
  if (::setsockopt(fd, level_of(group), option, &what, sizeof what) != 0)
    return fail_errno("join multicast group " + sys::describe_address(group));
  return {};
}

Result<void> join_any_source(int fd, uint32_t device, const std::string& group) {
  group_req what{};
  what.gr_interface = device;
  put_address(group, what.gr_group);
  return request(fd, MCAST_JOIN_GROUP, group, what);
}

// Who receives from some sources alone joins once for each; who receives from all others joins for
// all and blocks those.
Result<void> apply_membership(int fd, const image::GroupMembership& membership) {
  const std::string& group = membership.group();
  TRY(sys::parse_endpoint(group));
  uint32_t device = TRY(sys::device_number(fd, membership.device()));
  bool excludes = membership.mode() == MCAST_EXCLUDE;
  if (excludes) TRY(join_any_source(fd, device, group));
  for (const std::string& source : membership.sources()) {
    TRY(sys::parse_endpoint(source));
    group_source_req what{};
    what.gsr_interface = device;
    put_address(group, what.gsr_group);
    put_address(source, what.gsr_source);
    TRY(request(fd, excludes ? MCAST_BLOCK_SOURCE : MCAST_JOIN_SOURCE_GROUP, group, what));
  }
  return {};
}

}  // namespace

Result<void> capture_memberships(CaptureContext& context, const OpenFile& file,
                                 image::SocketCommon& out) {
  std::vector<Group> groups;
  TRY(list_v4(context, file.network, groups));
  if (file.socket->family == AF_INET6) TRY(list_v6(context, file.network, groups));
  for (const Group& group : groups) TRY(capture_membership(file.fd, group, out));
  return {};
}

Result<void> apply_memberships(int fd, const image::SocketCommon& common) {
  for (const image::GroupMembership& membership : common.memberships())
    TRY(apply_membership(fd, membership));
  return {};
}

}  // namespace martlet::engine
