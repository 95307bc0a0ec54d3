// Contexts of asynchronous I/O (io_setup), which cannot be carried. A program that makes one for
// each request is rid of it again at once.
#pragma once

#include <string_view>

#include "base/ids.h"

namespace martlet::engine {

// Whether a process of the group below `root` has one now. Costs a look at all mappings only if
// somebody on this host has one.
bool has_aio_context(HostPid root);

bool is_aio_ring(std::string_view mapped_path);

}  // namespace martlet::engine
