#include "agent/container_network.h"

#include <fmt/format.h>

#include "agent/oci_config.h"
#include "base/log.h"
#include "sys/announce.h"
#include "sys/namespaces.h"
#include "sys/net_address.h"
#include "sys/netlink.h"
#include "sys/packet_backlog.h"

namespace martlet::agent {
namespace {

constexpr const char* kInside = "eth0";

Result<sys::Netlink> open_inside(const Container& container) {
  return sys::Netlink::open_in(
      TRY(sys::open_namespace(container.init(), sys::NamespaceKind::kNetwork)));
}

Result<void> configure_inside(const Container& container) {
  const Declaration& declaration = container.record.declaration();
  sys::Netlink inside = TRY(open_inside(container));
  TRY(inside.set_up("lo"));
  TRY(inside.set_mac(kInside, TRY(sys::parse_mac(declaration.mac()))));
  TRY(inside.set_up(kInside));
  for (const std::string& address : declaration.addresses())
    TRY(inside.add_address(kInside, TRY(sys::parse_prefix(address))));
  for (const std::string& gateway : declaration.gateways())
    TRY(inside.add_default_route(kInside, TRY(sys::parse_ip(gateway))));
  return {};
}

Result<void> announce_inside(const Container& container) {
  const Declaration& declaration = container.record.declaration();
  const sys::MacAddress mac = TRY(sys::parse_mac(declaration.mac()));
  for (const std::string& text : declaration.addresses()) {
    const sys::IpPrefix prefix = TRY(sys::parse_prefix(text));
    TRY(sys::announce_address(kInside, mac, prefix.address));
  }
  return {};
}

}  // namespace

sys::MacAddress host_end_mac(sys::MacAddress inside) {
  inside.bytes[0] = 0xfe;
  inside.bytes[5] ^= 1;
  return inside;
}

Result<void> ContainerNetwork::create(const Container& container) const {
  if (container.host_interface.empty()) return {};
  sys::Netlink host = TRY(sys::Netlink::open());
  TRY(host.add_veth(container.host_interface, kInside, container.init()));
  const auto mac = TRY(sys::parse_mac(container.record.declaration().mac()));
  TRY(host.set_mac(container.host_interface, host_end_mac(mac)));
  TRY(host.set_up(container.host_interface));
  return configure_inside(container);
}

Result<void> ContainerNetwork::attach(const Container& container) const {
  if (container.host_interface.empty()) return {};
  sys::Netlink host = TRY(sys::Netlink::open());
  return host.set_master(container.host_interface, bridge_);
}

Result<void> ContainerNetwork::detach(const Container& container) const {
  if (container.host_interface.empty()) return {};
  // What is on its way to the container or from it would be lost: through the bridge and the link.
  constexpr int kHops = 2;
  if (auto drained = sys::drain_packet_backlog(kHops); !drained)
    spdlog::warn("container {}: {}; packets may be lost", container.name(),
                 drained.error().to_string());
  sys::Netlink host = TRY(sys::Netlink::open());
  return host.clear_master(container.host_interface);
}

Result<void> ContainerNetwork::announce(const Container& container) const {
  if (container.host_interface.empty()) return {};
  const Fd name_space = TRY(sys::open_namespace(container.init(), sys::NamespaceKind::kNetwork));
  return sys::run_inside(name_space, sys::NamespaceKind::kNetwork,
                         [&] { return announce_inside(container); });
}

Result<void> ContainerNetwork::remove(const Container& container) const {
  if (container.host_interface.empty()) return {};
  sys::Netlink host = TRY(sys::Netlink::open());
  const auto removed = host.remove_link(container.host_interface);
  if (!removed && removed.error().code() != Code::kNotFound) return removed;
  return {};
}

std::optional<engine::GivenNetwork> changeable_network(const Container& container) {
  const Declaration& declaration = container.record.declaration();
  const NetworkRights rights = network_rights(declaration);
  if (!rights.configuration && !rights.settings) return std::nullopt;
  engine::GivenNetwork given;
  given.writable_settings = rights.settings;
  if (container.host_interface.empty()) return given;
  given.link = {kInside, sys::parse_mac(declaration.mac()).value_or(sys::MacAddress())};
  return given;
}

Result<void> ensure_bridge(const std::string& bridge, const std::string& uplink) {
  sys::Netlink host = TRY(sys::Netlink::open());
  const auto found = host.index_of(bridge);
  if (!found) {
    TRY(host.add_bridge(bridge));
    spdlog::info("made bridge {}", bridge);
  }
  TRY(host.set_up(bridge));
  // A port that comes or goes must not change the address that the neighbours know of this host.
  if (uplink.empty()) return host.keep_mac(bridge);
  const int index = TRY(host.index_of(bridge));
  if (TRY(host.master_of(uplink)) != index) TRY(host.set_master(uplink, bridge));
  TRY(host.set_up(uplink));
  return host.keep_mac(bridge);
}

}  // namespace martlet::agent
