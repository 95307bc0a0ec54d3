// TCP connections that no process has yet: a handshake under way, or one that waits for accept().
#pragma once

#include <cstddef>

#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

// How many the network namespace of `root` has. They cannot be captured; they vanish within a round
// trip and a call of accept(), so a caller waits for zero or thaws and tries again.
Result<size_t> connections_in_setup(HostPid root);

}  // namespace martlet::engine
