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
  Result<void> add_bridge(const std::string& name);
  Result<void> remove_link(const std::string& name);

  // A pair of connected links: `name` here and `peer_name` in the namespace of `peer_owner`.
  Result<void> add_veth(const std::string& name, const std::string& peer_name, HostPid peer_owner);

  // IPv6 addresses are usable at once: duplicate address detection is off for them.
  Result<void> add_address(const std::string& link, const IpPrefix& address);
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
