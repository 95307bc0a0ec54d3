// Host and domain names: UTS namespaces of the group that its environment does not make.
#pragma once

#include <functional>
#include <vector>

#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "image/group.pb.h"

namespace martlet::engine {

// Which processes have names of their own. In a container also the root's names, if it has the
// right to change them. After note_namespaces().
Result<void> describe_host_names(const std::vector<FrozenProcess>& processes, bool container,
                                 image::Tree& tree);

// Gives the processes their namespaces again; `leader_of` is null for one that is not there. They
// must not have any threads yet, which get those of their process.
Result<void> apply_host_names(const image::Tree& tree, DescriptorChannel& channel,
                              const std::function<Task*(int32_t)>& leader_of);

}  // namespace martlet::engine
