// Processes that live in other mount namespaces than the root: what of them a restore can repeat.
// The mounts in those are in own_mounts.h.
#pragma once

#include <vector>

#include "engine/context.h"
#include "engine/tasks/frozen.h"
#include "image/group.pb.h"
#include "image/mounts.pb.h"

namespace martlet::engine {

// When the files of the group and the relations of `tree`, whose processes are parallel to
// `processes`, are known. Judges each process.
Result<void> check_mount_namespaces(CaptureContext& context,
                                    const std::vector<FrozenProcess>& processes,
                                    const image::Mounts& mounts, const image::Tree& tree);

// A process tree lives in one of the host.
Result<void> refuse_mount_namespaces(CaptureContext& context,
                                     const std::vector<FrozenProcess>& processes);

}  // namespace martlet::engine
