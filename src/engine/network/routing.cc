#include "engine/network/routing.h"

#include <fmt/format.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <set>

namespace martlet::engine {
namespace {

using sys::NetlinkChannel;
using sys::NetlinkMessage;

constexpr KnownAttribute kAddressAttributes[] = {
    {IFA_ADDRESS, Use::kCarried},   {IFA_LOCAL, Use::kCarried},       {IFA_LABEL, Use::kCarried},
    {IFA_BROADCAST, Use::kCarried}, {IFA_CACHEINFO, Use::kCarried},   {IFA_FLAGS, Use::kCarried},
    {IFA_PROTO, Use::kCarried},     {IFA_RT_PRIORITY, Use::kCarried},
};

constexpr KnownAttribute kNeighbourAttributes[] = {
    {NDA_DST, Use::kCarried},    {NDA_LLADDR, Use::kCarried},   {NDA_CACHEINFO, Use::kDropped},
    {NDA_PROBES, Use::kDropped}, {NDA_PROTOCOL, Use::kCarried}, {NDA_FLAGS_EXT, Use::kCarried},
};

constexpr KnownAttribute kRuleAttributes[] = {
    {FRA_DST, Use::kCarried},
    {FRA_SRC, Use::kCarried},
    {FRA_IIFNAME, Use::kCarried},
    {FRA_OIFNAME, Use::kCarried},
    {FRA_GOTO, Use::kCarried},
    {FRA_PRIORITY, Use::kCarried},
    {FRA_FWMARK, Use::kCarried},
    {FRA_FWMASK, Use::kCarried},
    {FRA_FLOW, Use::kCarried},
    {FRA_SUPPRESS_IFGROUP, Use::kCarried},
    {FRA_SUPPRESS_PREFIXLEN, Use::kCarried},
    {FRA_TABLE, Use::kCarried},
    {FRA_UID_RANGE, Use::kCarried},
    {FRA_PROTOCOL, Use::kCarried},
    {FRA_IP_PROTO, Use::kCarried},
    {FRA_SPORT_RANGE, Use::kCarried},
    {FRA_DPORT_RANGE, Use::kCarried},
    {FRA_PAD, Use::kDropped},
};

constexpr KnownAttribute kRouteAttributes[] = {
    {RTA_DST, Use::kCarried},     {RTA_SRC, Use::kCarried},       {RTA_IIF, Use::kDevice},
    {RTA_OIF, Use::kDevice},      {RTA_GATEWAY, Use::kCarried},   {RTA_PRIORITY, Use::kCarried},
    {RTA_PREFSRC, Use::kCarried}, {RTA_METRICS, Use::kCarried},   {RTA_MULTIPATH, Use::kHops},
    {RTA_FLOW, Use::kCarried},    {RTA_CACHEINFO, Use::kDropped}, {RTA_TABLE, Use::kCarried},
    {RTA_VIA, Use::kCarried},     {RTA_PREF, Use::kCarried},      {RTA_EXPIRES, Use::kDropped},
    {RTA_UID, Use::kDropped},     {RTA_PAD, Use::kDropped},
};

// One kind of object: how it is asked for, which are carried, and what of them is the object itself
// and not how it fares.
struct Kind {
  const char* name;
  uint16_t make, remove, ask;
  size_t header_size;
  KnownAttributes known;
  bool (*is_wanted)(const NetlinkMessage&);
  void (*normalise)(NetlinkMessage&);
  std::string (*identity)(const NetlinkMessage&);
  void (*set_device)(NetlinkMessage&, uint32_t index);
  uint32_t (*device)(const NetlinkMessage&);
};

template <typename Header>
Header header_of(const NetlinkMessage& message) {
  return sys::value_of<Header>(message.header);
}

std::string text_of(const NetlinkMessage& message, uint16_t attribute) {
  const std::string* value = message.find(attribute);
  return value == nullptr ? "" : *value;
}

std::string whole(const NetlinkMessage& message) {
  std::vector<sys::NetlinkAttribute> sorted = message.attributes;
  std::ranges::sort(sorted, {}, &sys::NetlinkAttribute::number);
  return message.header + sys::join_attributes(sorted);
}

// --- Addresses. Temporary ones of IPv6 come by themselves.

bool is_own_address(const NetlinkMessage& message) {
  const auto header = header_of<ifaddrmsg>(message);
  return header.ifa_family == AF_INET ||
         (header.ifa_family == AF_INET6 && (header.ifa_flags & IFA_F_TEMPORARY) == 0);
}

// The kernel would not let an address be used until it has looked for others that have it.
void settle_address_flags(std::string& value) {
  auto flags = sys::value_of<uint32_t>(value);
  flags &= ~static_cast<uint32_t>(IFA_F_TENTATIVE | IFA_F_DADFAILED);
  value = sys::bytes_of(flags | IFA_F_NODAD);
}

// When it was made is the kernel's time.
void forget_times(std::string& value) {
  auto times = sys::value_of<ifa_cacheinfo>(value);
  times.cstamp = times.tstamp = 0;
  value = sys::bytes_of(times);
}

void normalise_address(NetlinkMessage& message) {
  auto header = header_of<ifaddrmsg>(message);
  for (sys::NetlinkAttribute& attribute : message.attributes) {
    if (attribute.number() == IFA_CACHEINFO) forget_times(attribute.value);
    if (attribute.number() == IFA_FLAGS && header.ifa_family == AF_INET6)
      settle_address_flags(attribute.value);
  }
  header.ifa_flags = 0;  // IFA_FLAGS tells all
  message.header = sys::bytes_of(header);
}

std::string address_identity(const NetlinkMessage& message) {
  const auto header = header_of<ifaddrmsg>(message);
  const uint16_t own = message.find(IFA_LOCAL) == nullptr ? IFA_ADDRESS : IFA_LOCAL;
  return fmt::format("{} {} {} ", header.ifa_family, header.ifa_prefixlen, header.ifa_index) +
         text_of(message, own) + text_of(message, IFA_ADDRESS);
}

constexpr Kind kAddresses = {
    "an address",
    RTM_NEWADDR,
    RTM_DELADDR,
    RTM_GETADDR,
    sizeof(ifaddrmsg),
    kAddressAttributes,
    is_own_address,
    normalise_address,
    address_identity,
    [](NetlinkMessage& message, uint32_t index) {
      auto header = header_of<ifaddrmsg>(message);
      header.ifa_index = index;
      message.header = sys::bytes_of(header);
    },
    [](const NetlinkMessage& message) { return uint32_t{header_of<ifaddrmsg>(message).ifa_index}; },
};

// --- Neighbours

bool is_own_neighbour(const NetlinkMessage& message) {
  const auto header = header_of<ndmsg>(message);
  return (header.ndm_family == AF_INET || header.ndm_family == AF_INET6) &&
         ((header.ndm_state & NUD_PERMANENT) != 0 || (header.ndm_flags & NTF_PROXY) != 0);
}

constexpr Kind kNeighbours = {
    "a neighbour",
    RTM_NEWNEIGH,
    RTM_DELNEIGH,
    RTM_GETNEIGH,
    sizeof(ndmsg),
    kNeighbourAttributes,
    is_own_neighbour,
    [](NetlinkMessage&) {},
    whole,
    [](NetlinkMessage& message, uint32_t index) {
      auto header = header_of<ndmsg>(message);
      header.ndm_ifindex = static_cast<int>(index);
      message.header = sys::bytes_of(header);
    },
    [](const NetlinkMessage& message) {
      return static_cast<uint32_t>(header_of<ndmsg>(message).ndm_ifindex);
    },
};

// --- Rules

void normalise_rule(NetlinkMessage& message) {
  auto header = header_of<fib_rule_hdr>(message);
  header.flags &= FIB_RULE_INVERT;
  message.header = sys::bytes_of(header);
}

constexpr Kind kRules = {
    "a policy rule",
    RTM_NEWRULE,
    RTM_DELRULE,
    RTM_GETRULE,
    sizeof(fib_rule_hdr),
    kRuleAttributes,
    [](const NetlinkMessage& message) {
      const auto family = header_of<fib_rule_hdr>(message).family;
      return family == AF_INET || family == AF_INET6;
    },
    normalise_rule,
    whole,
    [](NetlinkMessage&, uint32_t) {},
    [](const NetlinkMessage&) { return uint32_t{0}; },
};

// --- Routes. The kernel makes its own with the addresses; what a router announces comes by itself.

bool is_own_route(const NetlinkMessage& message) {
  const auto header = header_of<rtmsg>(message);
  return header.rtm_protocol != RTPROT_KERNEL && header.rtm_protocol != RTPROT_RA &&
         header.rtm_protocol != RTPROT_REDIRECT && (header.rtm_flags & RTM_F_CLONED) == 0;
}

void normalise_route(NetlinkMessage& message) {
  auto header = header_of<rtmsg>(message);
  header.rtm_flags &= RTNH_F_ONLINK | RTNH_F_PERVASIVE;
  message.header = sys::bytes_of(header);
  for (sys::NetlinkAttribute& attribute : message.attributes) {
    if (attribute.number() != RTA_MULTIPATH) continue;
    for (size_t at = 0; at + sizeof(rtnexthop) <= attribute.value.size();) {
      auto hop =
          sys::value_of<rtnexthop>(std::string_view(attribute.value).substr(at, sizeof(rtnexthop)));
      if (hop.rtnh_len < sizeof hop) break;
      hop.rtnh_flags &= RTNH_F_ONLINK | RTNH_F_PERVASIVE;
      attribute.value.replace(at, sizeof hop, sys::bytes_of(hop));
      at += RTNH_ALIGN(hop.rtnh_len);
    }
  }
}

constexpr Kind kRoutes = {
    "a route",
    RTM_NEWROUTE,
    RTM_DELROUTE,
    RTM_GETROUTE,
    sizeof(rtmsg),
    kRouteAttributes,
    is_own_route,
    normalise_route,
    whole,
    [](NetlinkMessage&, uint32_t) {},
    [](const NetlinkMessage&) { return uint32_t{0}; },
};

// --- All kinds

Result<std::vector<NetlinkMessage>> ask_for(NetlinkChannel& channel, const Kind& kind,
                                            const std::string& question) {
  std::vector<NetlinkMessage> wanted;
  const NetlinkMessage request{.type = kind.ask, .header = question, .attributes = {}};
  for (NetlinkMessage& message : TRY(channel.dump(request, kind.header_size)))
    if (message.type == kind.make && kind.is_wanted(message)) wanted.push_back(std::move(message));
  return wanted;
}

Result<std::vector<NetlinkMessage>> list(NetlinkChannel& channel, const Kind& kind) {
  auto found = TRY(ask_for(channel, kind, std::string(kind.header_size, '\0')));
  if (kind.ask != RTM_GETNEIGH) return found;
  ndmsg proxies{};
  proxies.ndm_flags = NTF_PROXY;
  for (NetlinkMessage& message : TRY(ask_for(channel, kind, sys::bytes_of(proxies))))
    found.push_back(std::move(message));
  return found;
}

Result<NetlinkMessage> carried(const Kind& kind, const NetlinkMessage& message) {
  const auto family = static_cast<uint8_t>(message.header[0]);
  if (family != AF_INET && family != AF_INET6)
    return fail(
        Code::kUnsupported,
        fmt::format("{} of address family {} in the container's own network", kind.name, family));
  NetlinkMessage kept = message;
  kept.attributes = TRY(keep_known(message.attributes, kind.known, kind.name));
  kind.normalise(kept);
  return kept;
}

Result<void> capture(CaptureContext& context, NetlinkChannel& channel, const Kind& kind,
                     NetlinkObjects& out) {
  for (const NetlinkMessage& message : TRY(list(channel, kind)))
    TRY(context.judge([&]() -> Result<void> {
      put(TRY(carried(kind, message)), out);
      return {};
    }()));
  return {};
}

// Some can be made only when others are there: a route through a gateway, a rule that goes to
// another one.
Result<void> make_all(NetlinkChannel& channel, const Kind& kind,
                      std::vector<NetlinkMessage> missing) {
  while (!missing.empty()) {
    std::vector<NetlinkMessage> left;
    std::optional<Error> refusal;
    for (NetlinkMessage& message : missing) {
      const bool lets_others_be = kind.ask == RTM_GETROUTE && message.header[0] == AF_INET;
      auto made =
          channel.change(message, NLM_F_CREATE | (lets_others_be ? NLM_F_APPEND : NLM_F_EXCL));
      if (made || made.error().code() == Code::kAlreadyExists) continue;
      if (!refusal) refusal = std::move(made.error());
      left.push_back(std::move(message));
    }
    if (left.size() == missing.size())
      return std::unexpected(std::move(*refusal).with_context(kind.name));
    missing = std::move(left);
  }
  return {};
}

Result<NetlinkMessage> wanted_here(const Kind& kind, const image::NetlinkObject& object,
                                   const DeviceNumbers& numbers) {
  NetlinkMessage message = message_of(object);
  if (message.type != kind.make || message.header.size() != kind.header_size)
    return fail(Code::kBadImage, fmt::format("{} that is not possible", kind.name));
  TRY(renumber(message, kind.known, numbers));
  kind.set_device(message, TRY(number_here(numbers, kind.device(message))));
  return message;
}

Result<void> apply(NetlinkChannel& channel, const Kind& kind, const NetlinkObjects& objects,
                   const DeviceNumbers& numbers) {
  std::multiset<std::string> there;
  std::map<std::string, NetlinkMessage> surplus;
  for (const NetlinkMessage& message : TRY(list(channel, kind))) {
    NetlinkMessage present = TRY(carried(kind, message));
    there.insert(kind.identity(present));
    surplus.insert_or_assign(kind.identity(present), std::move(present));
  }
  std::vector<NetlinkMessage> missing;
  for (const image::NetlinkObject& object : objects) {
    NetlinkMessage message = TRY(wanted_here(kind, object, numbers));
    const std::string identity = kind.identity(message);
    surplus.erase(identity);
    if (auto same = there.find(identity); same != there.end())
      there.erase(same);
    else
      missing.push_back(std::move(message));
  }
  for (auto& [identity, message] : surplus) {
    message.type = kind.remove;
    auto removed = channel.change(message, 0);
    // A route goes with the address that it prefers.
    if (!removed && removed.error().code() != Code::kNotFound &&
        removed.error().error_number() != ESRCH)
      return in_context(std::move(removed), kind.name);
  }
  return make_all(channel, kind, std::move(missing));
}

}  // namespace

Result<void> capture_routing(CaptureContext& context, NetlinkChannel& channel,
                             image::Network& out) {
  TRY(capture(context, channel, kAddresses, *out.mutable_addresses()));
  TRY(capture(context, channel, kNeighbours, *out.mutable_neighbours()));
  TRY(capture(context, channel, kRules, *out.mutable_rules()));
  return capture(context, channel, kRoutes, *out.mutable_routes());
}

Result<void> apply_addresses(NetlinkChannel& channel, const image::Network& network,
                             const DeviceNumbers& numbers) {
  return apply(channel, kAddresses, network.addresses(), numbers);
}

Result<void> apply_routing(NetlinkChannel& channel, const image::Network& network,
                           const DeviceNumbers& numbers) {
  TRY(apply(channel, kNeighbours, network.neighbours(), numbers));
  TRY(apply(channel, kRules, network.rules(), numbers));
  return apply(channel, kRoutes, network.routes(), numbers);
}

}  // namespace martlet::engine
