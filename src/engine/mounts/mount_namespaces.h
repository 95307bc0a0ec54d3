// Mount namespaces that processes of a container have made (unshare, clone) and in which they have
// changed nothing but how mounts behave: their flags (a file system shown read-only) and their
// propagation. What can be opened is then the same in all of them.
//
// Refused, with the mount point: mounts that were made, removed or moved there, mounts that share
// with others, and directories that are open or removed there, since a restore opens files in the
// container's own namespace.
#pragma once

#include <functional>
#include <vector>

#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "image/group.pb.h"

namespace martlet::engine {

// After note_namespaces(), when the files of the group and the relations of `tree`, whose processes
// are parallel to `processes`, are known. Judges each namespace.
Result<void> describe_mount_namespaces(CaptureContext& context,
                                       const std::vector<FrozenProcess>& processes, bool container,
                                       image::Tree& tree);

// Gives the processes their namespaces again; `leader_of` is null for one that is not there. They
// must not have any threads yet, which get those of their process, and get their directories
// afterwards. The container's own mounts are all there.
Result<void> apply_mount_namespaces(const image::Tree& tree, DescriptorChannel& channel,
                                    const std::function<Task*(int32_t)>& leader_of);

}  // namespace martlet::engine
