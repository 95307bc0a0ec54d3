// Links, addresses and routes of one network namespace, through rtnetlink (libnl).
//
// A Netlink belongs to the namespace it was opened in, whichever thread uses it; one thread at a
// time.
#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "sys/net_address.h"

struct nl_sock;
struct rtnl_link;

namespace martlet::sys {

class Netlink {
 public:
  // Of the calling thread's namespace, or of the namespace behind a descriptor of /proc/PID/ns/net.
  static Result<Netlink> open();
  static Result<Netlink> open_in(const Fd& net_namespace);

  // Errors of all that take a name: kNotFound if there is no such link.
  Result<int> index_of(const std::string& link) const;
  Result<int> master_of(const std::string& link) const;  // index; 0 if it is attached to nothing
  Result<void> set_up(const std::string& link);
  Result<void> set_master(const std::string& link, const std::string& bridge);
  Result<void> clear_master(const std::string& link);
  Result<void> rename(const std::string& link, const std::string& new_name);
  Result<void> set_mac(const std::string& link, const MacAddress& mac);
  // A bridge changes its address with its ports, unless somebody has set it: to what it is now.
  Result<void> keep_mac(const std::string& bridge);
  Result<uint32_t> mtu_of(const std::string& link) const;
  Result<void> set_mtu(const std::string& link, uint32_t bytes);
  // The link will have no address of its own, and the kernel sends nothing on it by itself.
  Result<void> disable_autoconfiguration(const std::string& link);
  Result<void> add_bridge(const std::string& name);
  Result<void> remove_link(const std::string& name);

  // Which frames the bridge sends to a port without knowing who is behind it: none, or those to
  // groups.
  enum class Flooding { kNone, kGroups };
  Result<void> set_flooding(const std::string& port, Flooding flooding);
  // From here on the bridge takes the station to be behind this of its ports: until it hears the
  // station elsewhere, or for as long as the port exists.
  enum class Learning { kYes, kNo };
  Result<void> direct_station(const MacAddress& mac, const std::string& port, Learning learning);
  // It knows nothing of the station any more, and floods frames for it until it hears it.
  Result<void> forget_station(const MacAddress& mac, const std::string& port);

  // A pair of connected links: `name` here and `peer_name` in the namespace of `peer_owner`.
  Result<void> add_veth(const std::string& name, const std::string& peer_name, HostPid peer_owner);

  // IPv6 addresses are usable at once: duplicate address detection is off for them.
  Result<void> add_address(const std::string& link, const IpPrefix& address);
  // What leaves through the link passes a token bucket; what does not fit into 50 ms of its rate is
  // dropped. Again with another rate: it changes.
  Result<void> limit_rate(const std::string& link, uint64_t bytes_per_second);
  Result<void> add_default_route(const std::string& link, const IpAddress& gateway);

 private:
  struct Closer {
    void operator()(nl_sock* socket) const;
  };
  explicit Netlink(nl_sock* socket) : socket_(socket) {}
  Result<void> change(const std::string& name, rtnl_link* changes, const std::string& what);

  std::unique_ptr<nl_sock, Closer> socket_;
};

}  // namespace martlet::sys
