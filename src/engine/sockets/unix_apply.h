// The apply half of Unix sockets.
#pragma once

#include "engine/context.h"
#include "engine/sockets/unix_caller.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

// The socket with its name and its connection. Both ends of a connection are made at the first
// call.
Result<Fd> create_unix(ApplyContext& context, const image::File& file, UnixCaller& caller);

// All Unix sockets of the image. Done when every process exists and none has its descriptors yet,
// so that the sockets can be made by the processes that made them once; and their connections that
// wait to be accepted.
Result<void> create_unix_sockets(ApplyContext& context, UnixCaller& caller);

// Fills the queue from the senders, those that wait to be accepted included, and connects a
// datagram socket.
Result<void> complete_unix(ApplyContext& context, const image::File& file, int fd);

void go_live_unix(ApplyContext& context, const image::UnixSocket& socket, int fd);

}  // namespace martlet::engine
