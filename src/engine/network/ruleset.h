// The nftables ruleset of a container's network namespace.
#pragma once

#include "base/result.h"
#include "engine/context.h"
#include "image/network.pb.h"
#include "sys/netlink_channel.h"

namespace martlet::engine {

// Nobody has changed the ruleset of the namespace since it exists.
Result<bool> has_no_ruleset(sys::NetlinkChannel& netfilter);

// As one transaction. Judges what cannot be made again.
Result<void> capture_ruleset(CaptureContext& context, sys::NetlinkChannel& netfilter,
                             image::Network& out);
Result<void> apply_ruleset(sys::NetlinkChannel& netfilter, const image::Network& network);

}  // namespace martlet::engine
