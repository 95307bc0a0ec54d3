// Host and domain names: UTS namespaces of the group that its environment does not make.
#pragma once

#include <map>
#include <vector>

#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/user_namespaces.h"
#include "image/group.pb.h"

namespace martlet::engine {

// Which processes have names of their own. In a container also the root's names, if it has the
// right to change them. After describe_user_namespaces().
Result<void> describe_host_names(const std::vector<FrozenProcess>& processes, bool container,
                                 const UserNamespaces& user_namespaces, image::Tree& tree);

// Gives processes their namespaces again. They must not have any threads yet, which get those of
// their process. The tree must outlive it.
class HostNamesRestore {
 public:
  explicit HostNamesRestore(const image::Tree& tree);

  // If the process has names that belong to this user namespace, which it is in now.
  Result<void> apply(Task& task, uint32_t user_namespace, DescriptorChannel& channel);
  // After all: that none is left over.
  Result<void> finish() const;

 private:
  const image::Tree* tree_;
  std::map<int32_t, size_t> of_process_;  // those that have none yet
  std::vector<Fd> made_;
};

}  // namespace martlet::engine
