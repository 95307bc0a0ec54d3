// One agent for a state directory.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::agent {

// Locks `state_dir` until the descriptor is closed or the process ends, however it ends. A record
// lock, since children do not inherit it: one that a killed agent was just about to start holds a
// copy of every descriptor for a moment and must not keep the next agent out. kAlreadyExists if
// another process has the lock; it is asked for without waiting.
Result<Fd> lock_state(const std::string& state_dir);

}  // namespace martlet::agent
