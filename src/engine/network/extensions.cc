#include "engine/network/extensions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace martlet::engine {
namespace {

constexpr std::array<std::string_view, 49> kMatches = {
    "addrtype",  "ah",         "comment", "connlabel", "connmark", "conntrack", "cpu",
    "dccp",      "devgroup",   "dscp",    "dst",       "ecn",      "esp",       "eui64",
    "frag",      "hbh",        "helper",  "hl",        "icmp",     "icmp6",     "ipcomp",
    "iprange",   "ipv6header", "length",  "limit",     "mac",      "mark",      "mh",
    "multiport", "owner",      "physdev", "pkttype",   "policy",   "realm",     "rpfilter",
    "rt",        "sctp",       "socket",  "srh",       "state",    "statistic", "string",
    "tcp",       "tcpmss",     "time",    "tos",       "ttl",      "u32",       "udp"};

constexpr std::array<std::string_view, 27> kTargets = {
    "CHECKSUM", "CLASSIFY",    "CONNMARK", "CT",       "DNAT",   "DNPT",       "DSCP",
    "ECN",      "HL",          "HMARK",    "LOG",      "MARK",   "MASQUERADE", "NETMAP",
    "NFLOG",    "NFQUEUE",     "NOTRACK",  "REDIRECT", "REJECT", "SNAT",       "SNPT",
    "TCPMSS",   "TCPOPTSTRIP", "TOS",      "TPROXY",   "TRACE",  "TTL"};

template <size_t N>
bool is_in(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::unexpected<Error> refuse_in_filter(std::string_view what) {
  return std::unexpected(
      Error(Code::kUnsupported, fmt::format("the container's own packet filter has {}", what))
          .with_remedy("remove it"));
}

Result<void> check_extension(ExtensionKind kind, std::string_view name) {
  const bool is_match = kind == ExtensionKind::kMatch;
  if (is_match ? is_in(kMatches, name) : is_in(kTargets, name)) return {};
  return refuse_in_filter(
      fmt::format("a rule with the {} \"{}\" of iptables, which is not supported",
                  is_match ? "match" : "target", name));
}

}  // namespace martlet::engine
