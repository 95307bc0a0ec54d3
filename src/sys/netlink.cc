#include "sys/netlink.h"

#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/tbf.h>
#include <netlink/route/route.h>

#include <optional>

#include "sys/namespaces.h"

namespace martlet::sys {
namespace {

template <auto Release>
struct Releaser {
  template <typename T>
  void operator()(T* object) const {
    Release(object);
  }
};
using Link = std::unique_ptr<rtnl_link, Releaser<rtnl_link_put>>;
using Address = std::unique_ptr<rtnl_addr, Releaser<rtnl_addr_put>>;
using Route = std::unique_ptr<rtnl_route, Releaser<rtnl_route_put>>;
using Qdisc = std::unique_ptr<rtnl_qdisc, Releaser<rtnl_qdisc_put>>;
using NlAddress = std::unique_ptr<nl_addr, Releaser<nl_addr_put>>;

Code code_of(int nl_error) {
  switch (nl_error) {
    case NLE_NODEV:
    case NLE_OBJ_NOTFOUND: return Code::kNotFound;
    case NLE_EXIST: return Code::kAlreadyExists;
    case NLE_PERM: return Code::kPermission;
    case NLE_OPNOTSUPP: return Code::kUnsupported;
    case NLE_NOMEM: return Code::kNoSpace;
    default: return Code::kSystem;
  }
}

// libnl returns a negative NLE_ code.
Result<void> checked(int result, const std::string& what) {
  if (result >= 0) return {};
  return fail(code_of(-result), fmt::format("{}: {}", what, nl_geterror(result)));
}

NlAddress to_nl(const IpAddress& address) {
  return NlAddress(nl_addr_build(address.family, address.bytes.data(), address.size()));
}

Result<Link> find(nl_sock* socket, const std::string& name) {
  rtnl_link* link = nullptr;
  TRY(checked(rtnl_link_get_kernel(socket, 0, name.c_str(), &link), "network link " + name));
  return Link(link);
}

}  // namespace

void Netlink::Closer::operator()(nl_sock* socket) const {
  nl_socket_free(socket);
}

Result<Netlink> Netlink::open() {
  Netlink netlink(nl_socket_alloc());
  if (!netlink.socket_) return fail(Code::kNoSpace, "no memory for a netlink socket");
  TRY(checked(nl_connect(netlink.socket_.get(), NETLINK_ROUTE), "open of a netlink socket"));
  return netlink;
}

Result<Netlink> Netlink::open_in(const Fd& net_namespace) {
  std::optional<Netlink> opened;
  TRY(run_inside(net_namespace, NamespaceKind::kNetwork, [&]() -> Result<void> {
    opened = TRY(open());
    return {};
  }));
  return std::move(*opened);
}

Result<int> Netlink::index_of(const std::string& link) const {
  return rtnl_link_get_ifindex(TRY(find(socket_.get(), link)).get());
}

Result<int> Netlink::master_of(const std::string& link) const {
  return rtnl_link_get_master(TRY(find(socket_.get(), link)).get());
}

Result<void> Netlink::change(const std::string& name, rtnl_link* changes, const std::string& what) {
  const Link link = TRY(find(socket_.get(), name));
  return checked(rtnl_link_change(socket_.get(), link.get(), changes, 0),
                 fmt::format("{} of network link {}", what, name));
}

Result<void> Netlink::set_up(const std::string& link) {
  const Link changes(rtnl_link_alloc());
  rtnl_link_set_flags(changes.get(), IFF_UP);
  return change(link, changes.get(), "activation");
}

Result<void> Netlink::set_master(const std::string& link, const std::string& bridge) {
  const Link changes(rtnl_link_alloc());
  rtnl_link_set_master(changes.get(), TRY(index_of(bridge)));
  return change(link, changes.get(), "attachment to " + bridge);
}

Result<void> Netlink::clear_master(const std::string& link) {
  const Link changes(rtnl_link_alloc());
  rtnl_link_set_master(changes.get(), 0);
  return change(link, changes.get(), "detachment");
}

Result<void> Netlink::rename(const std::string& link, const std::string& new_name) {
  const Link changes(rtnl_link_alloc());
  rtnl_link_set_name(changes.get(), new_name.c_str());
  return change(link, changes.get(), "renaming");
}

Result<void> Netlink::set_mac(const std::string& link, const MacAddress& mac) {
  const Link changes(rtnl_link_alloc());
  const NlAddress address(nl_addr_build(AF_LLC, mac.bytes.data(), mac.bytes.size()));
  rtnl_link_set_addr(changes.get(), address.get());
  return change(link, changes.get(), "MAC address");
}

Result<void> Netlink::keep_mac(const std::string& bridge) {
  const Link changes(rtnl_link_alloc());
  rtnl_link_set_addr(changes.get(), rtnl_link_get_addr(TRY(find(socket_.get(), bridge)).get()));
  return change(bridge, changes.get(), "MAC address");
}

Result<uint32_t> Netlink::mtu_of(const std::string& link) const {
  return rtnl_link_get_mtu(TRY(find(socket_.get(), link)).get());
}

Result<void> Netlink::set_mtu(const std::string& link, uint32_t bytes) {
  const Link changes(rtnl_link_alloc());
  rtnl_link_set_mtu(changes.get(), bytes);
  return change(link, changes.get(), "MTU");
}

Result<void> Netlink::disable_autoconfiguration(const std::string& link) {
  const Link changes(rtnl_link_alloc());
  rtnl_link_inet6_set_addr_gen_mode(changes.get(), IN6_ADDR_GEN_MODE_NONE);
  return change(link, changes.get(), "address generation");
}

Result<void> Netlink::add_bridge(const std::string& name) {
  const Link link(rtnl_link_alloc());
  rtnl_link_set_type(link.get(), "bridge");
  rtnl_link_set_name(link.get(), name.c_str());
  return checked(rtnl_link_add(socket_.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL),
                 "creation of bridge " + name);
}

Result<void> Netlink::remove_link(const std::string& name) {
  const Link link = TRY(find(socket_.get(), name));
  return checked(rtnl_link_delete(socket_.get(), link.get()), "removal of network link " + name);
}

Result<void> Netlink::add_veth(const std::string& name, const std::string& peer_name,
                               HostPid peer_owner) {
  const Link link(rtnl_link_veth_alloc());
  if (!link) return fail(Code::kNoSpace, "no memory for a link");
  rtnl_link_set_name(link.get(), name.c_str());
  rtnl_link* const peer = rtnl_link_veth_get_peer(link.get());
  rtnl_link_set_name(peer, peer_name.c_str());
  rtnl_link_set_ns_pid(peer, peer_owner.value);
  const int result = rtnl_link_add(socket_.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL);
  rtnl_link_put(peer);
  return checked(result, "creation of veth " + name);
}

Result<void> Netlink::add_address(const std::string& link, const IpPrefix& prefix) {
  const Address address(rtnl_addr_alloc());
  const NlAddress local = to_nl(prefix.address);
  rtnl_addr_set_ifindex(address.get(), TRY(index_of(link)));
  rtnl_addr_set_local(address.get(), local.get());
  rtnl_addr_set_prefixlen(address.get(), static_cast<int>(prefix.length));
  if (prefix.address.family == AF_INET6) rtnl_addr_set_flags(address.get(), IFA_F_NODAD);
  return checked(rtnl_addr_add(socket_.get(), address.get(), NLM_F_EXCL),
                 fmt::format("address {} of network link {}", to_string(prefix), link));
}

Result<void> Netlink::limit_rate(const std::string& link, uint64_t bytes_per_second) {
  constexpr uint64_t kBucket = 256 << 10;
  constexpr uint64_t kMostRate = INT32_MAX;  // that libnl can tell
  if (bytes_per_second == 0 || bytes_per_second > kMostRate)
    return fail(Code::kInvalidArgument,
                fmt::format("a link of {} bytes per second; up to {} are possible",
                            bytes_per_second, kMostRate));
  const Qdisc qdisc(rtnl_qdisc_alloc());
  if (!qdisc) return fail(Code::kNoSpace, "no memory for a queue of packets");
  rtnl_tc_set_ifindex(TC_CAST(qdisc.get()), TRY(index_of(link)));
  rtnl_tc_set_parent(TC_CAST(qdisc.get()), TC_H_ROOT);
  TRY(checked(rtnl_tc_set_kind(TC_CAST(qdisc.get()), "tbf"), "kind of a queue"));
  rtnl_qdisc_tbf_set_rate(qdisc.get(), static_cast<int>(bytes_per_second), kBucket, 0);
  rtnl_qdisc_tbf_set_limit(qdisc.get(), static_cast<int>(kBucket + bytes_per_second / 20));
  return checked(rtnl_qdisc_add(socket_.get(), qdisc.get(), NLM_F_CREATE | NLM_F_REPLACE),
                 "rate of network link " + link);
}

Result<void> Netlink::add_default_route(const std::string& link, const IpAddress& gateway) {
  const Route route(rtnl_route_alloc());
  IpAddress any;
  any.family = gateway.family;
  const NlAddress destination = to_nl(any);
  nl_addr_set_prefixlen(destination.get(), 0);
  const NlAddress via = to_nl(gateway);
  rtnl_route_set_family(route.get(), static_cast<uint8_t>(gateway.family));
  rtnl_route_set_dst(route.get(), destination.get());
  rtnl_nexthop* const hop = rtnl_route_nh_alloc();
  rtnl_route_nh_set_gateway(hop, via.get());
  rtnl_route_nh_set_ifindex(hop, TRY(index_of(link)));
  rtnl_route_add_nexthop(route.get(), hop);  // takes ownership
  return checked(rtnl_route_add(socket_.get(), route.get(), NLM_F_EXCL),
                 fmt::format("default route through {}", to_string(gateway)));
}

}  // namespace martlet::sys
