// Namespaces of single tasks.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "engine/tasks/frozen.h"

namespace martlet::engine {

// By their inodes, in the order of the kinds; 0: the kernel has none of that kind, or the task is
// gone.
using Namespaces = std::array<ino_t, 10>;
Namespaces namespaces_of(HostPid task);

// All tasks of a group live in the namespaces of its root, but that a process may have a PID, a
// mount, a network, an IPC, a UTS, a user, a cgroup and a time namespace of its own. Notes for the
// process which task has another one, and of which kind. Returns its cgroup namespace.
ino_t note_namespaces(HostPid root, const Namespaces& of_root, FrozenProcess& process);

}  // namespace martlet::engine
