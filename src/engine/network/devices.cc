#include "engine/network/devices.h"

#include <fmt/format.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <set>
#include <string_view>

namespace martlet::engine {
namespace {

using sys::NetlinkAttribute;
using sys::NetlinkChannel;
using sys::NetlinkMessage;

constexpr uint32_t kCarriedFlags =
    IFF_UP | IFF_NOARP | IFF_PROMISC | IFF_ALLMULTI | IFF_MULTICAST | IFF_DYNAMIC;

// A VLAN's and a macvlan's, whatever they tell, are what makes them; of the sources of a macvlan
// the kernel tells in another form than it takes.
constexpr KnownAttribute kVlanDetails[] = {
    {IFLA_VLAN_ID, Use::kCarried},         {IFLA_VLAN_FLAGS, Use::kCarried},
    {IFLA_VLAN_EGRESS_QOS, Use::kCarried}, {IFLA_VLAN_INGRESS_QOS, Use::kCarried},
    {IFLA_VLAN_PROTOCOL, Use::kCarried},
};

constexpr KnownAttribute kMacvlanDetails[] = {
    {IFLA_MACVLAN_MODE, Use::kCarried},
    {IFLA_MACVLAN_FLAGS, Use::kCarried},
    {IFLA_MACVLAN_MACADDR_COUNT, Use::kDropped},
    {IFLA_MACVLAN_BC_QUEUE_LEN, Use::kCarried},
    {IFLA_MACVLAN_BC_QUEUE_LEN_USED, Use::kDropped},
};

// What a bridge tells of its state and its timers stands among what it is set to. It filters no
// VLANs, or is refused.
constexpr std::array<uint16_t, 14> kBridgeState = {IFLA_BR_VLAN_FILTERING,
                                                   IFLA_BR_ROOT_ID,
                                                   IFLA_BR_BRIDGE_ID,
                                                   IFLA_BR_ROOT_PORT,
                                                   IFLA_BR_ROOT_PATH_COST,
                                                   IFLA_BR_TOPOLOGY_CHANGE,
                                                   IFLA_BR_TOPOLOGY_CHANGE_DETECTED,
                                                   IFLA_BR_HELLO_TIMER,
                                                   IFLA_BR_TCN_TIMER,
                                                   IFLA_BR_TOPOLOGY_CHANGE_TIMER,
                                                   IFLA_BR_GC_TIMER,
                                                   IFLA_BR_GROUP_ADDR,
                                                   IFLA_BR_FDB_FLUSH,
                                                   IFLA_BR_PAD};
constexpr uint16_t kLastBridgeDetail = IFLA_BR_MULTI_BOOLOPT;
constexpr uint16_t kFdbMostLearned = 49;  // IFLA_BR_FDB_MAX_LEARNED, Linux 6.7

constexpr std::array<uint16_t, 18> kPortDetails = {IFLA_BRPORT_PRIORITY,
                                                   IFLA_BRPORT_COST,
                                                   IFLA_BRPORT_MODE,
                                                   IFLA_BRPORT_GUARD,
                                                   IFLA_BRPORT_PROTECT,
                                                   IFLA_BRPORT_FAST_LEAVE,
                                                   IFLA_BRPORT_LEARNING,
                                                   IFLA_BRPORT_UNICAST_FLOOD,
                                                   IFLA_BRPORT_PROXYARP,
                                                   IFLA_BRPORT_PROXYARP_WIFI,
                                                   IFLA_BRPORT_MULTICAST_ROUTER,
                                                   IFLA_BRPORT_MCAST_FLOOD,
                                                   IFLA_BRPORT_MCAST_TO_UCAST,
                                                   IFLA_BRPORT_BCAST_FLOOD,
                                                   IFLA_BRPORT_GROUP_FWD_MASK,
                                                   IFLA_BRPORT_NEIGH_SUPPRESS,
                                                   IFLA_BRPORT_ISOLATED,
                                                   IFLA_BRPORT_LOCKED};

// The kernel gives these to every namespace where it has the module.
constexpr std::array<std::string_view, 9> kFallbackDevices = {
    "sit0", "tunl0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0"};

ifinfomsg header_of(const NetlinkMessage& message) {
  return sys::value_of<ifinfomsg>(message.header);
}

template <typename T>
T number_of(const NetlinkMessage& message, uint16_t attribute) {
  const std::string* value = message.find(attribute);
  return value == nullptr ? T{} : sys::value_of<T>(*value);
}

std::unexpected<Error> refuse(const NetlinkMessage& link, const std::string& why) {
  return std::unexpected(
      Error(Code::kUnsupported,
            fmt::format("network device {} of the container {}", text_of(link, IFLA_IFNAME), why))
          .with_remedy("remove it"));
}

bool is_fallback(const NetlinkMessage& link) {
  return (header_of(link).ifi_flags & IFF_UP) == 0 &&
         std::ranges::find(kFallbackDevices, text_of(link, IFLA_IFNAME)) != kFallbackDevices.end();
}

bool is_bridge_detail(uint16_t number) {
  return (number <= kLastBridgeDetail || number == kFdbMostLearned) &&
         std::ranges::find(kBridgeState, number) == kBridgeState.end();
}

bool is_port_detail(uint16_t number) {
  return std::ranges::find(kPortDetails, number) != kPortDetails.end();
}

std::vector<NetlinkAttribute> filtered(const NetlinkMessage& nested, bool (*wanted)(uint16_t)) {
  std::vector<NetlinkAttribute> kept;
  std::ranges::copy_if(nested.attributes, std::back_inserter(kept),
                       [&](const auto& attribute) { return wanted(attribute.number()); });
  return kept;
}

// A kernel refuses to set an option that it lacks, to off too.
std::vector<NetlinkAttribute> options_that_are_on(std::vector<NetlinkAttribute> details) {
  for (NetlinkAttribute& detail : details) {
    if (detail.number() != IFLA_BR_MULTI_BOOLOPT) continue;
    auto options = sys::value_of<br_boolopt_multi>(detail.value);
    options.optmask &= options.optval;
    detail.value = sys::bytes_of(options);
  }
  return details;
}

Result<std::vector<NetlinkAttribute>> details_of(const NetlinkMessage& link,
                                                 const std::string& kind) {
  const NetlinkMessage details = inside(inside(link, IFLA_LINKINFO), IFLA_INFO_DATA);
  if (kind == "vlan") return keep_known(details.attributes, kVlanDetails, "a VLAN");
  if (kind == "macvlan") {
    if (number_of<uint32_t>(details, IFLA_MACVLAN_MODE) == MACVLAN_MODE_SOURCE)
      return refuse(link, "is a macvlan of chosen sources, which is not supported");
    return keep_known(details.attributes, kMacvlanDetails, "a macvlan");
  }
  if (kind == "bridge") {
    if (number_of<uint8_t>(details, IFLA_BR_VLAN_FILTERING) != 0)
      return refuse(link, "is a bridge that filters VLANs, which is not supported");
    return options_that_are_on(filtered(details, is_bridge_detail));
  }
  if (kind == "dummy" || kind == "veth") return std::vector<NetlinkAttribute>();
  return refuse(link, fmt::format("is of the kind {}, which is not supported",
                                  kind.empty() ? "physical" : kind));
}

// The one of these networks that the channel's calls `known_as`; none: it is none of them.
Result<std::optional<uint32_t>> network_known_as(NetlinkChannel& channel, const Networks& networks,
                                                 std::span<const uint32_t> described,
                                                 int known_as) {
  if (known_as < 0) return std::nullopt;  // of one that is just ending
  const std::string header(NLMSG_ALIGN(sizeof(rtgenmsg)), '\0');
  for (uint32_t number : described) {
    const Fd other = TRY(networks.open(number));
    const NetlinkMessage question{
        .type = RTM_GETNSID,
        .header = header,
        .attributes = {{NETNSA_FD, sys::bytes_of(static_cast<uint32_t>(other.get()))}}};
    const NetlinkMessage answer = TRY(channel.ask(question, header.size()));
    const std::string* told = answer.find(NETNSA_NSID);
    if (told != nullptr && sys::value_of<int>(*told) == known_as) return number;
  }
  return std::nullopt;
}

class Survey {
 public:
  using FindNetwork = std::function<Result<std::optional<uint32_t>>(int known_as)>;

  Survey(const std::vector<NetlinkMessage>& links, const GivenLink& given, FindNetwork find_network)
      : given_(given), find_network_(std::move(find_network)) {
    for (const NetlinkMessage& link : links)
      if (!given.name.empty() && text_of(link, IFLA_IFNAME) == given.name)
        given_index_ = static_cast<uint32_t>(header_of(link).ifi_index);
  }

  Result<void> check_given() const {
    if (given_.name.empty() || given_index_ != 0) return {};
    return fail(Code::kUnsupported,
                fmt::format("the container has removed or renamed its link {}", given_.name));
  }

  Result<void> describe(const NetlinkMessage& link, image::Network& network) const {
    image::NetworkDevice out;
    const auto header = header_of(link);
    out.set_index(static_cast<uint32_t>(header.ifi_index));
    out.set_name(text_of(link, IFLA_IFNAME));
    out.set_flags(header.ifi_flags & kCarriedFlags);
    out.set_mtu(number_of<uint32_t>(link, IFLA_MTU));
    out.set_queue_length(number_of<uint32_t>(link, IFLA_TXQLEN));
    out.set_group(number_of<uint32_t>(link, IFLA_GROUP));
    out.set_alias(text_of(link, IFLA_IFALIAS));
    if (const std::string* mac = link.find(IFLA_ADDRESS)) out.set_mac(*mac);
    out.set_address_generation(address_generation(link));
    TRY(check(link));
    if (header.ifi_index == static_cast<int>(given_index_))
      TRY(check_given_link(link));
    else if ((header.ifi_flags & IFF_LOOPBACK) == 0)
      TRY(describe_own(link, out));
    *network.add_devices() = std::move(out);
    return {};
  }

 private:
  static uint32_t address_generation(const NetlinkMessage& link) {
    const NetlinkMessage inet6 = inside(inside(link, IFLA_AF_SPEC), AF_INET6);
    const std::string* mode = inet6.find(IFLA_INET6_ADDR_GEN_MODE);
    return mode == nullptr ? 0 : sys::value_of<uint8_t>(*mode) + 1u;
  }

  static Result<void> check(const NetlinkMessage& link) {
    if (number_of<uint8_t>(inside(link, IFLA_XDP), IFLA_XDP_ATTACHED) != 0)
      return refuse(link, "has an XDP program, which is not supported");
    if (link.find(IFLA_PROP_LIST) != nullptr)
      return refuse(link, "has further names, which is not supported");
    return {};
  }

  Result<void> check_given_link(const NetlinkMessage& link) const {
    const std::string mac(given_.mac.bytes.begin(), given_.mac.bytes.end());
    if (const std::string* now = link.find(IFLA_ADDRESS); now == nullptr || *now != mac)
      return refuse(link, "has another MAC address than it was given");
    if (number_of<uint32_t>(link, IFLA_MASTER) != 0)
      return refuse(link, "is attached to another device, which is not supported");
    return {};
  }

  // Frames of a further address or with a tag could not be held back while it moves.
  Result<void> describe_own(const NetlinkMessage& link, image::NetworkDevice& out) const {
    const NetlinkMessage info = inside(link, IFLA_LINKINFO);
    out.set_kind(text_of(info, IFLA_INFO_KIND));
    put(TRY(details_of(link, out.kind())), *out.mutable_details());
    out.set_lower(number_of<uint32_t>(link, IFLA_LINK));
    if (const std::string* known_as = link.find(IFLA_LINK_NETNSID)) {
      const auto network = TRY(find_network_(sys::value_of<int>(*known_as)));
      if (!network) return refuse(link, "is connected with one outside of the container");
      if (out.kind() != "veth")
        return refuse(link, "lies on one of another network namespace, which is not supported");
      out.set_peer_network(*network);
      return describe_place(link, info, out);
    }
    if (out.lower() != 0 && out.lower() == given_index_)
      return refuse(link, fmt::format("lies on its link {}, which is not supported", given_.name));
    return describe_place(link, info, out);
  }

  static Result<void> describe_place(const NetlinkMessage& link, const NetlinkMessage& info,
                                     image::NetworkDevice& out) {
    out.set_master(number_of<uint32_t>(link, IFLA_MASTER));
    put(filtered(inside(info, IFLA_INFO_SLAVE_DATA), is_port_detail), *out.mutable_port());
    return {};
  }

  const GivenLink& given_;
  FindNetwork find_network_;
  uint32_t given_index_ = 0;
};

Result<std::vector<NetlinkMessage>> list_links(NetlinkChannel& channel) {
  const NetlinkMessage question{
      .type = RTM_GETLINK, .header = sys::bytes_of(ifinfomsg{}), .attributes = {}};
  return channel.dump(question, sizeof(ifinfomsg));
}

// --- Stations that a bridge was told of

Result<void> refuse_stations(NetlinkChannel& channel) {
  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  const NetlinkMessage question{
      .type = RTM_GETNEIGH, .header = sys::bytes_of(header), .attributes = {}};
  for (const NetlinkMessage& entry : TRY(channel.dump(question, sizeof(ndmsg)))) {
    const auto told = sys::value_of<ndmsg>(entry.header);
    if ((told.ndm_state & NUD_NOARP) != 0 && entry.find(NDA_MASTER) != nullptr)
      return fail(Code::kUnsupported,
                  "a bridge of the container has static entries, which is not supported");
  }
  return {};
}

// --- Making them again

NetlinkAttribute attribute(uint16_t type, std::string value) {
  return {type, std::move(value)};
}

NetlinkAttribute generation(uint8_t mode) {
  return nested(IFLA_AF_SPEC,
                {nested(AF_INET6, {attribute(IFLA_INET6_ADDR_GEN_MODE, sys::bytes_of(mode))})});
}

NetlinkMessage link_message(uint32_t index, std::vector<NetlinkAttribute> attributes) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  return {
      .type = RTM_NEWLINK, .header = sys::bytes_of(header), .attributes = std::move(attributes)};
}

std::vector<NetlinkAttribute> base_of(const image::NetworkDevice& device) {
  return {attribute(IFLA_IFNAME, device.name() + '\0'),
          attribute(IFLA_MTU, sys::bytes_of(device.mtu())), attribute(IFLA_ADDRESS, device.mac()),
          attribute(IFLA_TXQLEN, sys::bytes_of(device.queue_length()))};
}

const image::NetworkDevice* device_with(const image::Network& network, uint32_t index) {
  const auto found = std::ranges::find(network.devices(), index, &image::NetworkDevice::index);
  return found == network.devices().end() ? nullptr : &*found;
}

bool is_known_detail(const std::string& kind, uint16_t number) {
  auto is_in = [&](KnownAttributes known) {
    return std::ranges::find(known, number, &KnownAttribute::number) != known.end();
  };
  return (kind == "vlan" && is_in(kVlanDetails)) || (kind == "macvlan" && is_in(kMacvlanDetails)) ||
         (kind == "bridge" && is_bridge_detail(number));
}

Result<void> check_device(const image::NetworkDevice& device) {
  constexpr std::array<std::string_view, 6> kKinds = {"",     "dummy",   "veth",
                                                      "vlan", "macvlan", "bridge"};
  const bool sound =
      !device.name().empty() && device.name().size() < IFNAMSIZ && device.mac().size() <= 6 &&
      std::ranges::find(kKinds, device.kind()) != kKinds.end() &&
      std::ranges::all_of(
          device.details(),
          [&](const auto& detail) {
            return is_known_detail(device.kind(), detail.type() & NLA_TYPE_MASK);
          }) &&
      std::ranges::all_of(
          device.port(),
          [&](const auto& detail) { return is_port_detail(detail.type() & NLA_TYPE_MASK); });
  if (!sound) return fail(Code::kBadImage, "a network device that is not possible");
  return {};
}

class Creation {
 public:
  Creation(NetlinkChannel& channel, const Networks& networks, const WantedNetworks& wanted,
           uint32_t number)
      : channel_(channel),
        networks_(networks),
        wanted_(wanted),
        number_(number),
        network_(*wanted[number]) {}

  Result<DeviceNumbers> run() {
    for (const NetlinkMessage& link : TRY(list_links(channel_)))
      there_[text_of(link, IFLA_IFNAME)] = static_cast<uint32_t>(header_of(link).ifi_index);
    std::vector<const image::NetworkDevice*> left;
    for (const image::NetworkDevice& device : network_.devices()) {
      TRY(check_device(device));
      const auto found = there_.find(device.name());
      if (found == there_.end())
        left.push_back(&device);
      else if (device.has_peer_network())
        TRY(settle_new(device));  // it has come with its other end
      else
        numbers_[device.index()] = found->second;
    }
    while (!left.empty()) {
      const size_t before = left.size();
      for (const image::NetworkDevice*& device : left)
        if (TRY(make_if_possible(*device))) device = nullptr;
      std::erase(left, nullptr);
      if (left.size() == before) return fail(Code::kBadImage, "network devices in a circle");
    }
    return std::move(numbers_);
  }

 private:
  // A lower device comes first; the second of a pair comes with the first.
  Result<bool> make_if_possible(const image::NetworkDevice& device) {
    if (numbers_.contains(device.index())) return true;
    const bool is_pair = device.kind() == "veth";
    if (!is_pair && device.lower() != 0 && !numbers_.contains(device.lower())) return false;
    std::vector<NetlinkAttribute> attributes = base_of(device);
    if (!is_pair && device.lower() != 0)
      attributes.push_back(
          attribute(IFLA_LINK, sys::bytes_of(TRY(number_here(numbers_, device.lower())))));
    Fd other;
    if (device.has_peer_network()) other = TRY(networks_.open(device.peer_network()));
    attributes.push_back(TRY(info_of(device, other)));
    TRY_IN(channel_.change(link_message(device.index(), std::move(attributes)),
                           NLM_F_CREATE | NLM_F_EXCL),
           "network device " + device.name());
    TRY(settle_new(device));
    if (is_pair && !device.has_peer_network())
      TRY(settle_new(*device_with(network_, device.lower())));
    return true;
  }

  // IPv6 knows a device only when it is there.
  Result<void> settle_new(const image::NetworkDevice& device) {
    numbers_[device.index()] = device.index();
    if (device.address_generation() == 0) return {};
    return in_context(
        channel_.change(link_message(device.index(), {generation(IN6_ADDR_GEN_MODE_NONE)}), 0),
        "network device " + device.name());
  }

  // The other end of a pair; it must say the same of this one.
  Result<const image::NetworkDevice*> peer_of(const image::NetworkDevice& device) const {
    const uint32_t there = device.has_peer_network() ? device.peer_network() : number_;
    const bool known = there < wanted_.size() && wanted_[there] != nullptr;
    const image::NetworkDevice* peer =
        known ? device_with(*wanted_[there], device.lower()) : nullptr;
    if (peer == nullptr || peer->kind() != "veth" || peer->lower() != device.index() ||
        (peer->has_peer_network() ? peer->peer_network() : there) != number_)
      return fail(Code::kBadImage, "half a pair of network devices");
    TRY(check_device(*peer));
    return peer;
  }

  Result<NetlinkAttribute> info_of(const image::NetworkDevice& device, const Fd& other) const {
    std::vector<NetlinkAttribute> info = {attribute(IFLA_INFO_KIND, device.kind() + '\0')};
    std::vector<NetlinkAttribute> details = attributes_of(device.details());
    if (device.kind() == "veth") {
      const image::NetworkDevice* peer = TRY(peer_of(device));
      NetlinkMessage end = link_message(peer->index(), base_of(*peer));
      if (device.has_peer_network())
        end.attributes.push_back(
            attribute(IFLA_NET_NS_FD, sys::bytes_of(static_cast<uint32_t>(other.get()))));
      details = {
          {VETH_INFO_PEER | NLA_F_NESTED, end.header + sys::join_attributes(end.attributes)}};
    }
    if (!details.empty()) info.push_back(nested(IFLA_INFO_DATA, details));
    return nested(IFLA_LINKINFO, info);
  }

  NetlinkChannel& channel_;
  const Networks& networks_;
  const WantedNetworks& wanted_;
  const uint32_t number_;
  const image::Network& network_;
  std::map<std::string, uint32_t> there_;
  DeviceNumbers numbers_;
};

// What of the device differs here.
std::vector<NetlinkAttribute> changes_of(const image::NetworkDevice& device,
                                         const NetlinkMessage& link) {
  std::vector<NetlinkAttribute> changes;
  auto settle = [&](uint16_t type, uint32_t wanted) {
    if (number_of<uint32_t>(link, type) != wanted)
      changes.push_back(attribute(type, sys::bytes_of(wanted)));
  };
  settle(IFLA_MTU, device.mtu());
  settle(IFLA_TXQLEN, device.queue_length());
  settle(IFLA_GROUP, device.group());
  if (text_of(link, IFLA_IFALIAS) != device.alias())
    changes.push_back(attribute(IFLA_IFALIAS, device.alias()));
  return changes;
}

Result<void> attach(NetlinkChannel& channel, const image::NetworkDevice& device,
                    const DeviceNumbers& numbers) {
  if (device.master() == 0) return {};
  const uint32_t index = TRY(number_here(numbers, device.index()));
  TRY(channel.change(link_message(index, {attribute(IFLA_MASTER, sys::bytes_of(TRY(number_here(
                                                                     numbers, device.master()))))}),
                     0));
  if (device.port().empty()) return {};
  return channel.change(
      link_message(index, {nested(IFLA_LINKINFO,
                                  {attribute(IFLA_INFO_SLAVE_KIND, std::string("bridge\0", 7)),
                                   nested(IFLA_INFO_SLAVE_DATA, attributes_of(device.port()))})}),
      0);
}

}  // namespace

Result<void> capture_devices(CaptureContext& context, NetlinkChannel& channel,
                             const GivenLink& given, std::span<const uint32_t> described,
                             image::Network& out) {
  const std::vector<NetlinkMessage> links = TRY(list_links(channel));
  const Survey survey(links, given, [&](int known_as) {
    return network_known_as(channel, context.networks(), described, known_as);
  });
  TRY(context.judge(survey.check_given()));
  bool has_bridge = false;
  for (const NetlinkMessage& link : links) {
    if (is_fallback(link)) continue;
    TRY(context.judge(survey.describe(link, out)));
    has_bridge |= text_of(inside(link, IFLA_LINKINFO), IFLA_INFO_KIND) == "bridge";
  }
  if (has_bridge) TRY(context.judge(refuse_stations(channel)));
  return {};
}

Result<DeviceNumbers> create_devices(NetlinkChannel& channel, const Networks& networks,
                                     const WantedNetworks& wanted, uint32_t number) {
  return Creation(channel, networks, wanted, number).run();
}

Result<void> set_up_devices(NetlinkChannel& channel, const image::Network& network,
                            const DeviceNumbers& numbers) {
  std::map<uint32_t, NetlinkMessage> links;
  for (NetlinkMessage& link : TRY(list_links(channel)))
    links[static_cast<uint32_t>(header_of(link).ifi_index)] = std::move(link);
  for (const image::NetworkDevice& device : network.devices()) {
    const uint32_t index = TRY(number_here(numbers, device.index()));
    auto step = [&]() -> Result<void> {
      auto changes = changes_of(device, links.at(index));
      if (!changes.empty()) TRY(channel.change(link_message(index, std::move(changes)), 0));
      TRY(attach(channel, device, numbers));
      if ((header_of(links.at(index)).ifi_flags & kCarriedFlags) == device.flags()) return {};
      NetlinkMessage flags = link_message(index, {});
      auto header = header_of(flags);
      header.ifi_flags = device.flags() & kCarriedFlags;
      header.ifi_change = kCarriedFlags;
      flags.header = sys::bytes_of(header);
      return channel.change(flags, 0);
    };
    TRY_IN(step(), "network device " + device.name());
  }
  return {};
}

Result<void> finish_devices(NetlinkChannel& channel, const image::Network& network,
                            const DeviceNumbers& numbers) {
  for (const image::NetworkDevice& device : network.devices()) {
    if (device.kind().empty() || device.address_generation() == 0) continue;
    const auto mode = static_cast<uint8_t>(device.address_generation() - 1);
    const uint32_t index = TRY(number_here(numbers, device.index()));
    TRY_IN(channel.change(link_message(index, {generation(mode)}), 0),
           "network device " + device.name());
  }
  return {};
}

}  // namespace martlet::engine
