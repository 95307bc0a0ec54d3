// POSIX message queues (mq_open). They are not carried: messages can only be taken out, and a death
// of the capturing process in between would lose them.
#pragma once

#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

// Whether a description is of such a queue.
bool is_posix_queue(int fd);

// Names the first queue of the IPC namespace of `process`, whether anybody has it open or not.
Result<void> refuse_posix_queues(HostPid process);

}  // namespace martlet::engine
