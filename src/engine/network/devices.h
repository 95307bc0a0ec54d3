// Devices of a container's network namespace: those that it has made, and how it has changed those
// that it was given.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/context.h"
#include "engine/network/netlink_objects.h"
#include "image/network.pb.h"
#include "sys/net_address.h"
#include "sys/netlink_channel.h"

namespace martlet::engine {

// The link that the environment gives a container; no name: none.
struct GivenLink {
  std::string name;
  sys::MacAddress mac;
};

// `described` are the numbers of the networks that the image tells of.
Result<void> capture_devices(CaptureContext& context, sys::NetlinkChannel& channel,
                             const GivenLink& given, std::span<const uint32_t> described,
                             image::Network& out);

// What is to be in each of the group's networks, by number; null: it is left as it is.
using WantedNetworks = std::vector<const image::Network*>;

// Makes the devices that are missing in one of them, all down, and tells which is which there. The
// other ends of its pairs come with them, wherever they are.
Result<DeviceNumbers> create_devices(sys::NetlinkChannel& channel, const Networks& networks,
                                     const WantedNetworks& wanted, uint32_t number);
// Brings them to what they were, up or down; IPv6 makes no addresses for those that are new.
Result<void> set_up_devices(sys::NetlinkChannel& channel, const image::Network& network,
                            const DeviceNumbers& numbers);
// Once they have their addresses, IPv6 may make some again.
Result<void> finish_devices(sys::NetlinkChannel& channel, const image::Network& network,
                            const DeviceNumbers& numbers);

}  // namespace martlet::engine
