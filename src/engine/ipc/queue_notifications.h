// Who is told when a message comes to an empty POSIX message queue (mq_notify): by a signal, by a
// message to a netlink socket (SIGEV_THREAD, of which the C library's thread makes a call), or not
// at all.
//
// A queue has one such registration. What it says the kernel tells by its delivery alone, which
// ends it; so it is read from the kernel's memory, where that can be read.
#pragma once

#include <sys/stat.h>

#include "base/result.h"
#include "engine/context.h"
#include "engine/task.h"
#include "image/ipc.pb.h"

namespace martlet::engine {

// Errors: kUnsupported if there is one that cannot be carried.
Result<void> capture_queue_notification(const CaptureContext& context, int queue,
                                        const struct stat& status, image::PosixQueue& out);
// The messages of a queue with such a registration, which taking them out would make use of.
Result<void> read_stored_messages(int queue, image::PosixQueue& out);

// Registers what the process had registered for the queues of its namespace. It must have its
// descriptors, and may close none of a queue afterwards: that would end it. The queues must have
// their messages.
Result<void> apply_queue_notifications(Task& task, const image::Ipc& objects);

}  // namespace martlet::engine
