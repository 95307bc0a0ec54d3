#include "engine/network/own_network.h"

#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include "engine/network/connections.h"
#include "engine/network/old_tables.h"
#include "engine/network/queueing.h"
#include "engine/network/routing.h"
#include "engine/network/ruleset.h"
#include "sys/namespaces.h"

namespace martlet::engine {
namespace {

using sys::NetlinkChannel;
using sys::NetlinkMessage;

// What a kernel lacks no container can use.
Result<std::optional<NetlinkChannel>> open_if_there(int protocol) {
  auto opened = NetlinkChannel::open(protocol);
  if (!opened && opened.error().code() == Code::kUnsupported) return std::nullopt;
  return TRY(std::move(opened));
}

Result<void> refuse_next_hops(NetlinkChannel& channel) {
  const NetlinkMessage question{
      .type = RTM_GETNEXTHOP, .header = sys::bytes_of(nhmsg{}), .attributes = {}};
  auto found = channel.dump(question, sizeof(nhmsg));
  if (!found && found.error().code() == Code::kUnsupported) return {};
  if (TRY(std::move(found)).empty()) return {};
  return fail(Code::kUnsupported,
              "the container has made next hops as objects of their own, which is not supported");
}

Result<void> refuse_transformations(NetlinkChannel& channel) {
  for (auto [ask, what] :
       {std::pair(XFRM_MSG_GETSA, "states"), std::pair(XFRM_MSG_GETPOLICY, "policies")}) {
    const NetlinkMessage question{
        .type = static_cast<uint16_t>(ask), .header = {}, .attributes = {}};
    if (!TRY(channel.dump(question, 0)).empty())
      return fail(Code::kUnsupported,
                  std::string("the container has IPsec ") + what + ", which is not supported");
  }
  return {};
}

// One of the networks while it is made.
struct Making {
  NetlinkChannel route;
  const image::Network& wanted;
  DeviceNumbers numbers;
};

Result<void> set_up(Making& making) {
  TRY(apply_settings(making.wanted.settings()));
  return set_up_devices(making.route, making.wanted, making.numbers);
}

Result<void> finish(Making& making) {
  auto& [route, wanted, numbers] = making;
  TRY(apply_addresses(route, wanted, numbers));
  TRY(finish_devices(route, wanted, numbers));
  TRY(apply_queueing(route, wanted, numbers));
  TRY(apply_routing(route, wanted, numbers));
  TRY(apply_old_tables(wanted));
  if (wanted.ruleset().empty() && wanted.connections().empty()) return {};
  NetlinkChannel filter = TRY(NetlinkChannel::open(NETLINK_NETFILTER));
  TRY(apply_ruleset(filter, wanted));
  return apply_connections(filter, wanted);
}

}  // namespace

Result<NetworkSettings> read_fresh_settings() {
  const Fd fresh = TRY(sys::new_namespace(sys::NamespaceKind::kNetwork));
  NetworkSettings settings;
  TRY(sys::run_inside(fresh, sys::NamespaceKind::kNetwork, [&]() -> Result<void> {
    settings = TRY(read_settings());
    return {};
  }));
  return settings;
}

Result<NetworkSurvey> NetworkSurvey::open(uint32_t number, GivenNetwork given) {
  NetworkSurvey survey(number, std::move(given), TRY(NetlinkChannel::open(NETLINK_ROUTE)));
  survey.filter_ = TRY(open_if_there(NETLINK_NETFILTER));
  survey.transform_ = TRY(open_if_there(NETLINK_XFRM));
  return survey;
}

Result<NetworkSurvey> NetworkSurvey::prepare(HostPid root, const GivenNetwork& given) {
  std::optional<NetworkSurvey> survey;
  TRY(run_in_namespace(root, "net", [&]() -> Result<void> {
    survey = TRY(open(0, given));
    return {};
  }));
  if (given.writable_settings) survey->own_fresh_ = TRY(read_fresh_settings());
  return std::move(*survey);
}

Result<NetworkSurvey> NetworkSurvey::of_other(const Networks& networks, uint32_t number,
                                              const NetworkSettings& fresh) {
  std::optional<NetworkSurvey> survey;
  TRY(networks.run_inside(number, [&]() -> Result<void> {
    survey = TRY(open(number, {}));
    return {};
  }));
  survey->fresh_ = &fresh;
  return std::move(*survey);
}

Result<image::Network> NetworkSurvey::describe(CaptureContext& context,
                                               std::span<const uint32_t> described) {
  image::Network network;
  TRY(context.networks().run_inside(number_,
                                    [&] { return describe_inside(context, described, network); }));
  return network;
}

Result<void> NetworkSurvey::describe_inside(CaptureContext& context,
                                            std::span<const uint32_t> described,
                                            image::Network& network) {
  TRY(capture_devices(context, route_, given_.link, described, network));
  TRY(capture_queueing(context, route_, network));
  TRY(capture_routing(context, route_, network));
  TRY(context.judge(refuse_next_hops(route_)));
  if (transform_) TRY(context.judge(refuse_transformations(*transform_)));
  TRY(capture_old_tables(context, network));
  if (filter_) TRY(describe_filter(context, network));
  const NetworkSettings* fresh = own_fresh_ ? &*own_fresh_ : fresh_;
  if (fresh == nullptr) return {};
  std::vector<std::string> devices;
  for (const image::NetworkDevice& device : network.devices()) devices.push_back(device.name());
  *network.mutable_settings() = differing_settings(read_settings_of(devices, *fresh), *fresh);
  return {};
}

Result<void> NetworkSurvey::describe_filter(CaptureContext& context, image::Network& network) {
  if (!TRY(has_no_ruleset(*filter_))) TRY(capture_ruleset(context, *filter_, network));
  if (network.ruleset().empty() && network.old_tables().empty()) return {};
  return in_context(capture_connections(context, *filter_, network), "tracked connections");
}

// Each step in all of them before the next: a device is up when both ends of its pair are.
Result<void> apply_networks(const Networks& networks, const WantedNetworks& wanted) {
  std::map<uint32_t, Making> made;
  for (uint32_t number = 0; number < wanted.size(); ++number) {
    if (wanted[number] == nullptr) continue;
    TRY(networks.run_inside(number, [&]() -> Result<void> {
      Making making{TRY(NetlinkChannel::open(NETLINK_ROUTE)), *wanted[number], {}};
      making.numbers = TRY(create_devices(making.route, networks, wanted, number));
      made.emplace(number, std::move(making));
      return {};
    }));
  }
  for (auto step : {set_up, finish})
    for (auto& [number, making] : made)
      TRY(networks.run_inside(number, [&] { return step(making); }));
  return {};
}

}  // namespace martlet::engine
