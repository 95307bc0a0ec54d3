// Queueing disciplines of a container's devices with their classes, and how they are set. What they
// have counted begins anew, and packets that wait in one are lost, as they may be on any link.
#pragma once

#include "base/result.h"
#include "engine/context.h"
#include "engine/network/netlink_objects.h"
#include "image/network.pb.h"
#include "sys/netlink_channel.h"

namespace martlet::engine {

// Of the devices that are in `out`.
Result<void> capture_queueing(CaptureContext& context, sys::NetlinkChannel& channel,
                              image::Network& out);
// kUnsupported if the kernel makes of them something else than they were.
Result<void> apply_queueing(sys::NetlinkChannel& channel, const image::Network& network,
                            const DeviceNumbers& numbers);

}  // namespace martlet::engine
