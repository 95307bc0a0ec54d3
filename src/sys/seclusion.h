// Work that leaves nothing behind: a process whose descendants end when it ends, whatever they are
// doing, and whose mounts and network links can be its own and vanish with it.
#pragma once

#include <functional>

#include "base/result.h"

namespace martlet::sys {

// Forks, and runs `work` in the child's child; returns its exit code, or 128 + signal. The process
// between is the init of a new PID namespace: it collects orphans, and its end kills all that is
// left. SIGINT and SIGTERM to the caller end the work and are its exit code; if the caller is
// killed, all of it is.
//
// `clear` is called by that init when the work has ended, before what is left of it is killed:
// something that was frozen must be thawed for it, or it could not end.
//
// The caller must have one thread, and must not have started any child.
Result<int> run_secluded(const std::function<int()>& work, const std::function<void()>& clear);

// For the work itself, before it has threads: mounts and a network of its own, and a /proc that
// shows its PID namespace.
Result<void> leave_mounts_and_network();

}  // namespace martlet::sys
