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

Result<NetworkSettings> read_fresh_settings() {
  const Fd fresh = TRY(sys::new_namespace(sys::NamespaceKind::kNetwork));
  NetworkSettings settings;
  TRY(sys::run_inside(fresh, sys::NamespaceKind::kNetwork, [&]() -> Result<void> {
    settings = TRY(read_settings());
    return {};
  }));
  return settings;
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

}  // namespace

Result<NetworkSurvey> NetworkSurvey::prepare(HostPid root, const GivenNetwork& given) {
  std::optional<NetworkSurvey> survey;
  TRY(run_in_namespace(root, "net", [&]() -> Result<void> {
    survey = NetworkSurvey(given, TRY(NetlinkChannel::open(NETLINK_ROUTE)));
    survey->filter_ = TRY(open_if_there(NETLINK_NETFILTER));
    survey->transform_ = TRY(open_if_there(NETLINK_XFRM));
    return {};
  }));
  if (given.writable_settings) survey->fresh_ = TRY(read_fresh_settings());
  return std::move(*survey);
}

Result<image::Network> NetworkSurvey::describe(CaptureContext& context) {
  image::Network network;
  TRY(capture_devices(context, route_, given_.link, network));
  TRY(capture_queueing(context, route_, network));
  TRY(capture_routing(context, route_, network));
  TRY(context.judge(refuse_next_hops(route_)));
  if (transform_) TRY(context.judge(refuse_transformations(*transform_)));
  TRY(capture_old_tables(context, network));
  if (filter_) TRY(describe_filter(context, network));
  if (!given_.writable_settings) return network;
  std::vector<std::string> devices;
  for (const image::NetworkDevice& device : network.devices()) devices.push_back(device.name());
  TRY(run_in_namespace(context.root(), "net", [&]() -> Result<void> {
    *network.mutable_settings() = differing_settings(read_settings_of(devices, fresh_), fresh_);
    return {};
  }));
  return network;
}

Result<void> NetworkSurvey::describe_filter(CaptureContext& context, image::Network& network) {
  if (!TRY(has_no_ruleset(*filter_))) TRY(capture_ruleset(context, *filter_, network));
  if (network.ruleset().empty() && network.old_tables().empty()) return {};
  return in_context(capture_connections(context, *filter_, network), "tracked connections");
}

Result<void> apply_own_network(const ApplyContext& context, const image::Network& network) {
  return run_in_namespace(context.root(), "net", [&]() -> Result<void> {
    NetlinkChannel route = TRY(NetlinkChannel::open(NETLINK_ROUTE));
    const DeviceNumbers numbers = TRY(create_devices(route, network));
    TRY(apply_settings(network.settings()));
    TRY(set_up_devices(route, network, numbers));
    TRY(apply_addresses(route, network, numbers));
    TRY(finish_devices(route, network, numbers));
    TRY(apply_queueing(route, network, numbers));
    TRY(apply_routing(route, network, numbers));
    TRY(apply_old_tables(network));
    if (network.ruleset().empty() && network.connections().empty()) return {};
    NetlinkChannel filter = TRY(NetlinkChannel::open(NETLINK_NETFILTER));
    TRY(apply_ruleset(filter, network));
    return apply_connections(filter, network);
  });
}

}  // namespace martlet::engine
