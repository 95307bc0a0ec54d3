// Addresses, permanent neighbours, policy rules and routes of a container's network namespace.
#pragma once

#include "base/result.h"
#include "engine/context.h"
#include "engine/network/netlink_objects.h"
#include "image/network.pb.h"
#include "sys/netlink_channel.h"

namespace martlet::engine {

// All that are not the kernel's own. Judges each that cannot be made again.
Result<void> capture_routing(CaptureContext& context, sys::NetlinkChannel& channel,
                             image::Network& out);

// Makes those that are missing and takes away those that are not in the image.
Result<void> apply_addresses(sys::NetlinkChannel& channel, const image::Network& network,
                             const DeviceNumbers& numbers);
// After the addresses, and when the devices are up.
Result<void> apply_routing(sys::NetlinkChannel& channel, const image::Network& network,
                           const DeviceNumbers& numbers);

}  // namespace martlet::engine
