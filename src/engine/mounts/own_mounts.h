// Mounts that a container has made for itself. They are not carried: what a restore finds is what
// the container's declaration mounts.
#pragma once

#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

// `first_mounts` is what the container's /proc/PID/mountinfo said before its program began. Names
// the first mount of `root` that it does not list. One that is gone from it is not looked for.
Result<void> refuse_own_mounts(HostPid root, std::string_view first_mounts);

}  // namespace martlet::engine
