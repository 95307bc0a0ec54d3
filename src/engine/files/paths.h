// Paths as the group sees them.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

// Opens `path` below a root directory, or that of a process in its mount namespace; symbolic links
// cannot lead out of that root. Errors: kNotFound.
Result<Fd> open_below(const Fd& root, const std::string& path, int flags, mode_t mode = 0);
Result<Fd> open_below_root(HostPid process, const std::string& path, int flags, mode_t mode = 0);

}  // namespace martlet::engine
