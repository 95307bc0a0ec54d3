// Which mounts of a namespace are copies of those of the one that it was made from.
#pragma once

#include <vector>

#include "engine/mounts/mount_table.h"

namespace martlet::engine {

// The mounts of `source`, in the same order, with the ids that those have which are in `copy` too:
// the same of the same file system at the same place, on a mount of which that is true as well.
std::vector<Mount> as_in_copy(const std::vector<Mount>& source, const std::vector<Mount>& copy);

}  // namespace martlet::engine
