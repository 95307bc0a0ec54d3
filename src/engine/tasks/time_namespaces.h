// Time namespaces of single processes: their clocks are some time ahead of the group's, or behind.
//
// A process that makes one stays where it is; its children come to live there. One that has neither
// threads nor anybody else in its memory can also enter another.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "image/group.pb.h"
#include "sys/time_namespace.h"

namespace martlet::engine {

// Of processes in the order of restore, whose births the tree tells. kUnsupported: of a process
// tree, and where nothing tells the clocks or makes the same again.
Result<void> describe_time_namespaces(const std::vector<FrozenProcess>& processes, bool container,
                                      image::Tree& tree);

class TimeNamespacesRestore {
 public:
  // Has the first process, which is alone yet, make those whose makers have ended. `tree` outlives
  // this.
  static Result<TimeNamespacesRestore> create(Task& first, const image::Tree& tree,
                                              DescriptorChannel& channel);

  // Brings a process where it lives, and its children to come where they shall. It has no threads
  // yet, and nobody is born with its memory.
  Result<void> enter(Task& leader, DescriptorChannel& channel);

 private:
  struct Made {
    const image::TimeNamespace* image;
    Fd name_space;
  };
  Result<void> make(Task& maker, Made& out) const;

  std::vector<Made> made_;
  Fd of_group_;
  sys::ClockOffsets offsets_;  // of the group's
};

}  // namespace martlet::engine
