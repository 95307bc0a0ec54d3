// The link of a container: a veth pair between its network namespace and the host's bridge.
#pragma once

#include <optional>
#include <string>

#include "agent/container.h"
#include "base/result.h"
#include "engine/network/own_network.h"
#include "sys/net_address.h"

namespace martlet::agent {

class ContainerNetwork {
 public:
  explicit ContainerNetwork(std::string bridge) : bridge_(std::move(bridge)) {}

  // Makes the link and configures eth0 in the namespace of the container's init: MAC, addresses,
  // routes. Its host end is up but not attached. Does nothing for a container without addresses.
  Result<void> create(const Container& container) const;
  Result<void> attach(const Container& container) const;
  // What is already on its way to the container or from it still arrives.
  Result<void> detach(const Container& container) const;
  // Tells the neighbours which port and MAC the container's addresses are behind now.
  Result<void> announce(const Container& container) const;
  // Also if there is none; the pair vanishes with the container's namespace anyway.
  Result<void> remove(const Container& container) const;

 private:
  std::string bridge_;
};

// The address of the host's end of a link whose inner end has the address `inside`. A bridge takes
// the lowest address of its ports as its own. This one is higher than any usual port's, so that the
// host's address does not change when a container comes or goes: peers would send to the old one
// until their neighbour entries are found to be stale. It always differs from `inside`, for a
// bridge keeps frames to the address of one of its ports.
sys::MacAddress host_end_mac(sys::MacAddress inside);

// What the container may change of its network and was given; none if it may change nothing.
std::optional<engine::GivenNetwork> changeable_network(const Container& container);

// Makes the bridge if it is missing, and attaches `uplink` to it unless it is empty.
Result<void> ensure_bridge(const std::string& bridge, const std::string& uplink);

}  // namespace martlet::agent
