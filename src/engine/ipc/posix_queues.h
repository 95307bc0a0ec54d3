// POSIX message queues (mq_open) of a container's IPC namespace, whether anybody has them open or
// not.
//
// A message can only be taken out. So a child process that outlives this one takes all messages of
// a queue and puts them back in their order, while the group is frozen. Who waits for an event of
// the queue (poll, epoll) may be woken for nothing if the group goes on here. If this process is
// killed at that moment the group may find the queue empty for an instant, or a message that it
// sends just then before older ones; no message is lost.
//
// A queue with a registered notification (mq_notify) is refused: the kernel tells neither its value
// nor, for a thread, what would be called.
#pragma once

#include <sys/types.h>

#include "base/ids.h"
#include "base/result.h"
#include "engine/context.h"
#include "image/ipc.pb.h"

namespace martlet::engine {

// Whether a description is of such a queue.
bool is_posix_queue(int fd);

// All queues of the namespace, and those that were removed but are open in the group, without their
// messages. Errors: kUnsupported names a queue that cannot be carried.
Result<void> capture_posix_queues(CaptureContext& context, image::Ipc& ipc);
// Fills in the messages.
Result<void> capture_posix_messages(const CaptureContext& context, image::Ipc& ipc);
// Whether the queue of this inode was captured.
bool is_captured_queue(const CaptureContext& context, dev_t device, ino_t inode);

// Makes the queues in the namespace of the context's root, which must not be this process's: there
// they end with the group.
Result<void> create_posix_queues(ApplyContext& context, const image::Ipc& ipc);
// A new description of one of them.
Result<Fd> open_posix_queue(ApplyContext& context, uint64_t id, int flags);

}  // namespace martlet::engine
