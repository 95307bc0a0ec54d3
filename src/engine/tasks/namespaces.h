// Namespaces of single tasks.
#pragma once

#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "engine/tasks/frozen.h"

namespace martlet::engine {

// All tasks of a group live in the namespaces of its root. Says which task has one of its own, and
// of which kind; empty if none has.
std::string find_other_namespace(HostPid root, const FrozenProcess& process);

}  // namespace martlet::engine
