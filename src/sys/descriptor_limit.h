// How many descriptors a process may have (RLIMIT_NOFILE).
#pragma once

#include "base/ids.h"

namespace martlet::sys {

// Lets the process have as many as it can be given: what the kernel allows (fs.nr_open) if this
// process may raise limits, otherwise its own hard limit.
void raise_descriptor_limit(HostPid pid);

}  // namespace martlet::sys
