#include "engine/network/connections.h"

#include <fmt/format.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "engine/network/netlink_objects.h"

namespace martlet::engine {
namespace {

using sys::NetlinkAttribute;
using sys::NetlinkChannel;
using sys::NetlinkMessage;

constexpr uint16_t type_of(int message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | message);
}

// A rule with a SYN proxy is refused; every entry that was made by netlink tells of none.
constexpr KnownAttribute kAttributes[] = {
    {CTA_TUPLE_ORIG, Use::kCarried},    {CTA_TUPLE_REPLY, Use::kCarried},
    {CTA_STATUS, Use::kCarried},        {CTA_PROTOINFO, Use::kCarried},
    {CTA_TIMEOUT, Use::kCarried},       {CTA_MARK, Use::kCarried},
    {CTA_ZONE, Use::kCarried},          {CTA_LABELS, Use::kCarried},
    {CTA_SEQ_ADJ_ORIG, Use::kCarried},  {CTA_SEQ_ADJ_REPLY, Use::kCarried},
    {CTA_COUNTERS_ORIG, Use::kDropped}, {CTA_COUNTERS_REPLY, Use::kDropped},
    {CTA_USE, Use::kDropped},           {CTA_ID, Use::kDropped},
    {CTA_TIMESTAMP, Use::kDropped},     {CTA_SECCTX, Use::kDropped},
    {CTA_SECMARK, Use::kDropped},       {CTA_NAT_SRC, Use::kCarried},
    {CTA_NAT_DST, Use::kCarried},       {CTA_SYNPROXY, Use::kDropped},
};

// An attribute of an address pair or a port pair, and its counterpart.
constexpr std::array<std::pair<uint16_t, uint16_t>, 4> kAddressPairs = {
    {{CTA_IP_V4_SRC, CTA_IP_V4_DST},
     {CTA_IP_V4_DST, CTA_IP_V4_SRC},
     {CTA_IP_V6_SRC, CTA_IP_V6_DST},
     {CTA_IP_V6_DST, CTA_IP_V6_SRC}}};
constexpr std::array<std::pair<uint16_t, uint16_t>, 2> kPortPairs = {
    {{CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT}, {CTA_PROTO_DST_PORT, CTA_PROTO_SRC_PORT}}};

template <size_t N>
std::vector<NetlinkAttribute> swapped(std::vector<NetlinkAttribute> attributes,
                                      const std::array<std::pair<uint16_t, uint16_t>, N>& pairs) {
  for (NetlinkAttribute& attribute : attributes) {
    const auto pair =
        std::ranges::find(pairs, attribute.number(), &std::pair<uint16_t, uint16_t>::first);
    if (pair != pairs.end()) attribute.type = pair->second;
  }
  return attributes;
}

// The tuple of answers to what is not translated.
std::string reversed(const NetlinkMessage& tuple) {
  std::vector<NetlinkAttribute> parts = tuple.attributes;
  for (NetlinkAttribute& part : parts) {
    auto inner = sys::parse_attributes(part.value);
    if (part.number() == CTA_TUPLE_IP)
      part.value = sys::join_attributes(swapped(inner, kAddressPairs));
    if (part.number() == CTA_TUPLE_PROTO)
      part.value = sys::join_attributes(swapped(inner, kPortPairs));
  }
  return sys::join_attributes(parts);
}

// Translation to one address and port: the source (`first`) or the destination of the answers.
NetlinkAttribute translation(uint16_t type, const NetlinkMessage& answers, bool to_source) {
  const NetlinkMessage address = inside(answers, CTA_TUPLE_IP);
  const NetlinkMessage protocol = inside(answers, CTA_TUPLE_PROTO);
  const std::string* v4 = address.find(to_source ? CTA_IP_V4_SRC : CTA_IP_V4_DST);
  const std::string* v6 = address.find(to_source ? CTA_IP_V6_SRC : CTA_IP_V6_DST);
  const std::string* port = protocol.find(to_source ? CTA_PROTO_SRC_PORT : CTA_PROTO_DST_PORT);
  std::vector<NetlinkAttribute> range;
  if (v4 != nullptr) range = {{CTA_NAT_V4_MINIP, *v4}, {CTA_NAT_V4_MAXIP, *v4}};
  if (v6 != nullptr) range = {{CTA_NAT_V6_MINIP, *v6}, {CTA_NAT_V6_MAXIP, *v6}};
  if (port != nullptr)
    range.push_back(
        nested(CTA_NAT_PROTO, {{CTA_PROTONAT_PORT_MIN, *port}, {CTA_PROTONAT_PORT_MAX, *port}}));
  return nested(type, range);
}

// What is told with flags is taken with a mask. The window is learnt anew from the packets.
void set_protocol_state(std::string& info) {
  constexpr uint8_t kAll = 0xff;
  auto outer = sys::parse_attributes(info);
  for (NetlinkAttribute& protocol : outer) {
    if (protocol.number() != CTA_PROTOINFO_TCP) continue;
    auto inner = sys::parse_attributes(protocol.value);
    for (NetlinkAttribute& attribute : inner) {
      if (attribute.number() != CTA_PROTOINFO_TCP_FLAGS_ORIGINAL &&
          attribute.number() != CTA_PROTOINFO_TCP_FLAGS_REPLY)
        continue;
      auto flags = sys::value_of<nf_ct_tcp_flags>(attribute.value);
      flags.flags |= IP_CT_TCP_FLAG_BE_LIBERAL;
      flags.mask = kAll;
      attribute.value = sys::bytes_of(flags);
    }
    protocol.value = sys::join_attributes(inner);
  }
  info = sys::join_attributes(outer);
}

// The kernel takes a connection that is not translated, and translates it then.
void describe_as_request(NetlinkMessage& entry) {
  const uint32_t status = netfilter_number(entry, CTA_STATUS);
  const NetlinkMessage answers = inside(entry, CTA_TUPLE_REPLY);
  for (NetlinkAttribute& attribute : entry.attributes) {
    if (attribute.number() == CTA_TUPLE_REPLY)
      attribute.value = reversed(inside(entry, CTA_TUPLE_ORIG));
    if (attribute.number() == CTA_PROTOINFO) set_protocol_state(attribute.value);
  }
  if ((status & IPS_SRC_NAT) != 0)
    entry.attributes.push_back(translation(CTA_NAT_SRC, answers, false));
  if ((status & IPS_DST_NAT) != 0)
    entry.attributes.push_back(translation(CTA_NAT_DST, answers, true));
}

// Others are tracked anew with their next packet.
bool has_ports(const NetlinkMessage& entry) {
  return inside(inside(entry, CTA_TUPLE_ORIG), CTA_TUPLE_PROTO).find(CTA_PROTO_SRC_PORT) != nullptr;
}

Result<void> capture(const NetlinkMessage& told, NetlinkObjects& out) {
  const uint32_t status = netfilter_number(told, CTA_STATUS);
  if ((status & IPS_DYING) != 0 || !has_ports(told)) return {};
  if ((status & IPS_EXPECTED) != 0)
    return fail(Code::kUnsupported,
                "the container's packet filter tracks a connection that belongs to another one");
  NetlinkMessage entry = told;
  entry.attributes = TRY(keep_known(told.attributes, kAttributes, "a tracked connection"));
  entry.type = type_of(IPCTNL_MSG_CT_NEW);
  describe_as_request(entry);
  put(entry, out);
  return {};
}

// To list them the kernel looks through the table of the whole host.
Result<bool> has_none(NetlinkChannel& netfilter) {
  const nfgenmsg header{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0};
  const NetlinkMessage question{
      .type = type_of(IPCTNL_MSG_CT_GET_STATS), .header = sys::bytes_of(header), .attributes = {}};
  const NetlinkMessage told = TRY(netfilter.ask(question, sizeof(nfgenmsg)));
  return told.find(CTA_STATS_GLOBAL_ENTRIES) != nullptr &&
         netfilter_number(told, CTA_STATS_GLOBAL_ENTRIES) == 0;
}

}  // namespace

Result<void> capture_connections(CaptureContext& context, NetlinkChannel& netfilter,
                                 image::Network& out) {
  if (TRY(has_none(netfilter))) return {};
  const nfgenmsg header{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0};
  const NetlinkMessage question{
      .type = type_of(IPCTNL_MSG_CT_GET), .header = sys::bytes_of(header), .attributes = {}};
  for (const NetlinkMessage& entry : TRY(netfilter.dump(question, sizeof(nfgenmsg))))
    TRY(context.judge(capture(entry, *out.mutable_connections())));
  return {};
}

Result<void> apply_connections(NetlinkChannel& netfilter, const image::Network& network) {
  for (const image::NetlinkObject& object : network.connections()) {
    NetlinkMessage message = message_of(object);
    if (message.type != type_of(IPCTNL_MSG_CT_NEW) || message.header.size() != sizeof(nfgenmsg))
      return fail(Code::kBadImage, "a tracked connection that is not possible");
    TRY(renumber(message, kAttributes, {}));
    TRY_IN(netfilter.change(message, NLM_F_CREATE | NLM_F_EXCL), "a tracked connection");
  }
  return {};
}

}  // namespace martlet::engine
