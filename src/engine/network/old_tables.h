// Tables of iptables-legacy. The kernel keeps them apart from nftables, and tells of one and takes
// it as a whole, in the form that its rules have in memory.
#pragma once

#include "base/result.h"
#include "engine/context.h"
#include "image/network.pb.h"

namespace martlet::engine {

// Judges what cannot be made again.
Result<void> capture_old_tables(CaptureContext& context, image::Network& out);

// In the network namespace that the thread is in.
Result<void> apply_old_tables(const image::Network& network);

}  // namespace martlet::engine
