// PID namespaces below that of a group: who lives in which, and making them again. A namespace is
// known by its first process, with whose end it ends; it comes before all others that live in it.
#pragma once

#include <map>
#include <vector>

#include "base/fd.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "image/group.pb.h"

namespace martlet::engine {

// Adds to the processes of the tree where their children come to live, and which numbers their
// namespaces have given last. The creators of the tree are known.
// Errors: kUnsupported for what no order of creation brings about.
Result<void> describe_pid_namespaces(const std::vector<FrozenProcess>& processes,
                                     image::Tree& tree);

// Whether the numbers of a process are possible beside those of the processes that come before it,
// which are added by their PIDs. The image is of unknown origin.
bool are_numbers_sound(const image::Process& process,
                       std::map<int32_t, const image::Process*>& before);

class PidNamespacesRestore {
 public:
  // As fork_process(), whatever PID namespace the process is to live in.
  Result<Task> fork(Task& creator, const image::Process& process, DescriptorChannel& channel);

  // The children that come now live where those of `process` are to live; it makes no more threads.
  Result<void> turn_children(Task& task, const image::Process& process,
                             DescriptorChannel& channel) const;

 private:
  Result<void> enter(Task& task, int32_t first, DescriptorChannel& channel) const;

  std::map<int32_t, Fd> made_;          // by the first process
  std::map<int32_t, int32_t> home_of_;  // the first process of where a process lives
};

}  // namespace martlet::engine
