// Connections that the packet filter of a container tracks: without them, what it has redirected or
// masqueraded would be sent where nobody expects it.
#pragma once

#include "base/result.h"
#include "engine/context.h"
#include "image/network.pb.h"
#include "sys/netlink_channel.h"

namespace martlet::engine {

Result<void> capture_connections(CaptureContext& context, sys::NetlinkChannel& netfilter,
                                 image::Network& out);
Result<void> apply_connections(sys::NetlinkChannel& netfilter, const image::Network& network);

}  // namespace martlet::engine
