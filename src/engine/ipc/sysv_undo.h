// What a process will undo to System V semaphores when it ends (SEM_UNDO).
//
// No interface tells it. But an operation that would take an adjustment out of its range fails with
// ERANGE, and of the operations of one call either all take place or none. So adjustments are found
// by calls that always fail, with one error or another, and change nothing.
#pragma once

#include "base/result.h"
#include "engine/task.h"
#include "engine/tasks/injection.h"
#include "image/ipc.pb.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

// Whether the task may have made an operation that is to be undone: it, or a thread that shares its
// list, has a list for them. Detaches the calling thread from such a list of its own.
Result<bool> may_undo_semaphores(HostPid task);

// Errors: kUnsupported if threads undo apart from each other, or if somebody outside of the group
// changes a semaphore meanwhile.
Result<void> capture_semaphore_undo(Injection& injection, FrozenProcess& frozen,
                                    image::Process& out);

// `ipc` is of the process's namespace. Its semaphores have their values already. Others, which a
// process tree shares with the host, were given back when the original process ended, and are taken
// again. Errors: kAlreadyExists if somebody else has taken one meanwhile.
Result<void> apply_semaphore_undo(Task& leader, const image::Process& process,
                                  const image::Ipc& ipc);

}  // namespace martlet::engine
