// User namespaces that processes of the group have made, as sandboxes do.
//
// What a process can do to the group's other resources ends when it enters one: there it has every
// right, and outside none. So all that needs rights outside comes before.
#pragma once

#include <map>
#include <vector>

#include "base/fd.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/id_map.h"
#include "image/group.pb.h"

namespace martlet::engine {

// Their places in Tree.user_namespaces, from 1, by their inodes. 0 is that of the group, which is
// this process's own: the root of the group may have left it, too.
using UserNamespaces = std::map<ino_t, uint32_t>;

// Which ones there are, and who is in them. After note_namespaces() and describe_births().
Result<UserNamespaces> describe_user_namespaces(const std::vector<FrozenProcess>& processes,
                                                image::Tree& tree);

// Whether the namespace is the other one, or lies in it.
bool is_within(const image::Tree& tree, uint32_t user_namespace, uint32_t other);

// Those of a restored group. The tree must outlive it.
class UserNamespacesRestore {
 public:
  // Makes them all, with nobody in them.
  static Result<UserNamespacesRestore> make(const image::Tree& tree);

  // The ones that the process has to enter, one after the other; none if it is in the group's.
  std::vector<uint32_t> way_of(int32_t process) const;
  // A duplicate of one but the group's.
  Result<Fd> open(uint32_t user_namespace) const;
  // How the process numbers users; null: as the group does.
  const UserView* view_of(int32_t process) const;

  // The task has the users and groups already that may have no number inside. It must not have any
  // threads yet, nor share its directories.
  Result<void> enter(Task& task, uint32_t user_namespace, DescriptorChannel& channel) const;

 private:
  struct Made {
    Fd file;
    UserView view;
  };
  explicit UserNamespacesRestore(const image::Tree& tree) : tree_(&tree) {}
  Result<void> add(const image::UserNamespace& wanted);
  uint32_t of(int32_t process) const;

  const image::Tree* tree_;
  std::vector<Made> made_;
  std::map<int32_t, uint32_t> of_process_;
};

}  // namespace martlet::engine
