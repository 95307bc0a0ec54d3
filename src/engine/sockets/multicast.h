// The multicast groups that a socket has joined.
//
// The kernel lists the groups of each device, and tells of a socket whether it is in one. Devices
// are known by name, because their numbers may differ where the group goes on. Engine's thread
// only.
#pragma once

#include "engine/context.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

Result<void> capture_memberships(CaptureContext& context, const OpenFile& file,
                                 image::SocketCommon& out);
Result<void> apply_memberships(int fd, const image::SocketCommon& common);

}  // namespace martlet::engine
