// Renews what waits in the queue of a datagram socket after a capture.
//
// The kernel shows an empty datagram only to the first who looks at it without taking it. So that
// the next capture finds what this one did, a queue with one in it is taken out and put in again
// when the group goes on here, while its tasks stand still. A queue whose senders cannot all be had
// stays as it is.
#pragma once

#include "engine/context.h"
#include "engine/files/file_kind.h"
#include "image/sockets.pb.h"

namespace martlet::engine {

// After the socket was captured; the message holds its queue.
Result<void> renew_queue_on_thaw(CaptureContext& context, const OpenFile& file,
                                 const image::UnixSocket& socket);

// Takes `count` messages out of a queue; the offset at which its process peeks stays.
Result<void> drain_queue(int fd, int count);

}  // namespace martlet::engine
