// What a bridge does with the frames for one port. libnl has no calls for these attributes, so the
// messages are put together here.
#include <fmt/format.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "sys/netlink.h"

namespace martlet::sys {
namespace {

struct MessageReleaser {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using Message = std::unique_ptr<nl_msg, MessageReleaser>;

// Returns a negative NLE_ code, as libnl does.
int exchange(nl_sock* socket, Message message) {
  return nl_send_sync(socket, message.release());
}

Result<int> index_of_port(const std::string& link) {
  const unsigned index = ::if_nametoindex(link.c_str());
  if (index == 0) return fail_errno("network link " + link);
  return static_cast<int>(index);
}

Result<void> checked(int result, const std::string& what) {
  if (result >= 0) return {};
  return fail(result == -NLE_OPNOTSUPP ? Code::kUnsupported : Code::kSystem,
              fmt::format("{}: {}", what, nl_geterror(result)));
}

}  // namespace

Result<void> Netlink::set_flooding(const std::string& port, Flooding flooding) {
  const int groups = flooding == Flooding::kGroups ? 1 : 0;
  const ifinfomsg header{.ifi_family = AF_BRIDGE,
                         .__ifi_pad = 0,
                         .ifi_type = 0,
                         .ifi_index = TRY(index_of_port(port)),
                         .ifi_flags = 0,
                         .ifi_change = 0};
  Message message(nlmsg_alloc_simple(RTM_SETLINK, NLM_F_REQUEST));
  if (!message) return fail(Code::kNoSpace, "no memory for a netlink message");
  nlmsg_append(message.get(), const_cast<ifinfomsg*>(&header), sizeof header, NLMSG_ALIGNTO);
  nlattr* const attributes = nla_nest_start(message.get(), IFLA_PROTINFO | NLA_F_NESTED);
  nla_put_u8(message.get(), IFLA_BRPORT_UNICAST_FLOOD, 0);
  nla_put_u8(message.get(), IFLA_BRPORT_MCAST_FLOOD, static_cast<uint8_t>(groups));
  nla_put_u8(message.get(), IFLA_BRPORT_BCAST_FLOOD, static_cast<uint8_t>(groups));
  nla_nest_end(message.get(), attributes);
  return checked(exchange(socket_.get(), std::move(message)), "flooding of bridge port " + port);
}

Result<void> Netlink::direct_station(const MacAddress& mac, const std::string& port,
                                     Learning learning) {
  const bool fixed = learning == Learning::kNo;
  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  header.ndm_ifindex = TRY(index_of_port(port));
  header.ndm_state = fixed ? NUD_NOARP : NUD_REACHABLE;
  header.ndm_flags = static_cast<uint8_t>(NTF_MASTER | (fixed ? NTF_STICKY : 0));
  Message message(nlmsg_alloc_simple(RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE));
  if (!message) return fail(Code::kNoSpace, "no memory for a netlink message");
  nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO);
  nla_put(message.get(), NDA_LLADDR, static_cast<int>(mac.bytes.size()), mac.bytes.data());
  return checked(exchange(socket_.get(), std::move(message)),
                 fmt::format("direction of {} to bridge port {}", to_string(mac), port));
}

Result<void> Netlink::forget_station(const MacAddress& mac, const std::string& port) {
  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  header.ndm_ifindex = TRY(index_of_port(port));
  header.ndm_flags = NTF_MASTER;
  Message message(nlmsg_alloc_simple(RTM_DELNEIGH, NLM_F_REQUEST));
  if (!message) return fail(Code::kNoSpace, "no memory for a netlink message");
  nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO);
  nla_put(message.get(), NDA_LLADDR, static_cast<int>(mac.bytes.size()), mac.bytes.data());
  return checked(exchange(socket_.get(), std::move(message)),
                 fmt::format("removal of {} from bridge port {}", to_string(mac), port));
}

}  // namespace martlet::sys
