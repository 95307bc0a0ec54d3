// Cgroups that a container has made below its own, with the tasks that live in them. The
// container's own cgroup and its limits are the environment's; but for what it gives to those
// below.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/cgroups/cgroup_namespaces.h"
#include "engine/cgroups/container_cgroups.h"
#include "engine/context.h"
#include "engine/tasks/frozen.h"
#include "image/cgroups.pb.h"

namespace martlet::engine {

// `frozen` are the directories of those that are to be frozen, see InnerFreezers.
Result<void> describe_inner_cgroups(CaptureContext& context,
                                    const std::vector<FrozenProcess>& processes,
                                    const std::vector<ContainerCgroup>& cgroups,
                                    const std::vector<std::string>& frozen, image::Cgroups& image);

// Makes them in a sandbox, with which they are removed if the restore fails.
class InnerCgroups {
 public:
  InnerCgroups() = default;

  // The directories, so that files in them can be opened.
  static Result<InnerCgroups> create(const ApplyContext& context, image::Cgroups image);

  // See cgroup_namespaces.h.
  Result<void> make_namespaces(DescriptorChannel& channel, const LeaderOf& leader_of) const;

  // Limits, and the tasks to their places. The tasks must have made their last system call, for
  // they may live in a frozen cgroup afterwards.
  Result<void> finish(const ApplyContext& context) const;

 private:
  image::Cgroups image_;
  std::vector<ContainerCgroup> bases_;  // of its hierarchies
};

}  // namespace martlet::engine
