// Cgroups (v2) that a container has frozen itself. A task in one can be stopped by ptrace, but
// makes no system call for a capture before its cgroup thaws.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/cgroups/container_cgroups.h"

namespace martlet::engine {

// Before the tasks are stopped: one that the freezer of cgroup v1 holds can neither be stopped nor
// ended, so a container that has frozen any by that is refused.
Result<void> refuse_frozen_by_v1(const std::vector<ContainerCgroup>& cgroups);

// Thaws them while every task of theirs is stopped by ptrace, and freezes them again before those
// are let go. Meanwhile each bears a mark, so that freeze_marked() can do so if this process is
// killed; until then its tasks run.
class InnerFreezers {
 public:
  static Result<InnerFreezers> thaw(const std::vector<ContainerCgroup>& cgroups);
  InnerFreezers() = default;
  InnerFreezers(InnerFreezers&&) noexcept = default;
  InnerFreezers& operator=(InnerFreezers&&) = delete;
  ~InnerFreezers();

  // Their directories, in the order in which they were found.
  const std::vector<std::string>& directories() const { return directories_; }

 private:
  std::vector<std::string> directories_;
};

// Freezes those that one who was killed has thawed, of the container with that cgroup. Nothing else
// of what is mended or thawed depends on it, so an error is only logged.
void freeze_marked(const std::string& freezer_cgroup);

}  // namespace martlet::engine
