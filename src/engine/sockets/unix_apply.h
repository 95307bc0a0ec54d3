// The apply half of Unix sockets.
#pragma once

#include "engine/context.h"
#include "engine/task.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

// The socket with its name and its connection. Both ends of a connection are made at the first
// call.
Result<Fd> create_unix(ApplyContext& context, const image::File& file);

// Fills the queue from the senders, and connects a datagram socket.
Result<void> complete_unix(ApplyContext& context, const image::UnixSocket& socket, int fd);

// A listener's credentials are those of the process that called listen().
Result<void> complete_unix_in_task(const image::UnixSocket& socket, Task& task, int number);

void go_live_unix(const image::UnixSocket& socket, int fd);

}  // namespace martlet::engine
