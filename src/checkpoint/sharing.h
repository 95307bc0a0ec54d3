// What processes of a group have in common without being threads of one.
#pragma once

#include <vector>

#include "engine/tasks/frozen.h"
#include "image/group.pb.h"

namespace martlet::checkpoint {

// Notes which processes share their parent's descriptor table or directories. The tree's processes
// are those that were frozen, in the same order, parents first.
// Errors: kUnsupported for shared memory, for what is not shared with the parent, and for a thread
// that does not share what its process has.
Result<void> describe_sharing(const std::vector<engine::FrozenProcess>& processes,
                              image::Tree& tree);

}  // namespace martlet::checkpoint
