// POSIX message queues (mq_open) of a container's IPC namespaces, whether anybody has them open or
// not.
//
// A message can only be taken out. So a child process that outlives this one takes all messages of
// a queue and puts them back in their order, while the group is frozen. Who waits for an event of
// the queue (poll, epoll) may be woken for nothing if the group goes on here. If this process is
// killed at that moment the group may find the queue empty for an instant, or a message that it
// sends just then before older ones; no message is lost.
//
// Messages of a queue with a registered notification are read from the kernel's memory instead: see
// queue_notifications.h.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "base/result.h"
#include "engine/context.h"
#include "image/ipc.pb.h"

namespace martlet::engine {

// Whether a description is of such a queue.
bool is_posix_queue(int fd);

// Of the file system of the queues in the namespace of a process; 0 if the kernel has none.
Result<dev_t> device_of_queues(HostPid process);

// All queues of the namespace of a process, and those of it that were removed but are open in the
// group, without their messages. Errors: kUnsupported names a queue that cannot be carried.
Result<void> capture_posix_queues(CaptureContext& context, HostPid process, image::Ipc& ipc);
// Fills in the messages.
Result<void> capture_posix_messages(const CaptureContext& context, image::Ipc& ipc);
// PosixQueue::id of a queue, if it was captured.
std::optional<uint64_t> captured_queue(const CaptureContext& context, const struct stat& status);

// Makes the queues in the namespace of the context's root, which must not be this process's: there
// they end with the group.
Result<void> create_posix_queues(ApplyContext& context, const image::Ipc& ipc);
// In the calling thread's namespace, which ends with the group.
Result<void> create_posix_queues_here(ApplyContext& context, const image::Ipc& ipc);
// A new description of one of them.
Result<Fd> open_posix_queue(ApplyContext& context, uint64_t id, int flags);

}  // namespace martlet::engine
