// Cgroup namespaces that processes of a container have made: each shows another cgroup as the root.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "engine/cgroups/container_cgroups.h"
#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "image/cgroups.pb.h"

namespace martlet::engine {

// `of_processes` are their namespaces, of zombies none. A namespace is known by a process that
// lives at or below its root; without one it is refused.
Result<void> describe_cgroup_namespaces(const std::vector<FrozenProcess>& processes,
                                        const std::vector<ino_t>& of_processes,
                                        const std::vector<ContainerCgroup>& cgroups,
                                        image::Cgroups& image);

// Null for a process that is not there.
using LeaderOf = std::function<Task*(int32_t)>;

// Gives the processes, which have no threads yet, their namespaces again, when the cgroups are made
// and nobody lives in them. `cgroups` are the container's own of the image's hierarchies.
// Afterwards all live in the container's own again.
Result<void> apply_cgroup_namespaces(const image::Cgroups& image,
                                     const std::vector<ContainerCgroup>& cgroups,
                                     DescriptorChannel& channel, const LeaderOf& leader_of);

}  // namespace martlet::engine
