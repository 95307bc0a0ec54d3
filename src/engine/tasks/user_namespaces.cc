#include "engine/tasks/user_namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "engine/tasks/join_namespace.h"
#include "sys/namespaces.h"
#include "sys/procfs.h"
#include "sys/user_namespace.h"

namespace martlet::engine {
namespace {

// Finds the namespaces of a group from the innermost outwards.
class Survey {
 public:
  Survey(ino_t of_group, image::Tree& tree) : tree_(tree) { known_[of_group] = 0; }

  Result<uint32_t> add(const Fd& name_space) {
    const ino_t inode = TRY(sys::number_of_namespace(name_space));
    if (auto found = known_.find(inode); found != known_.end()) return found->second;
    auto above = sys::parent_of_namespace(name_space);
    if (!above) return fail(Code::kUnsupported, "its user namespace is not below martlet's own");
    const uint32_t parent = TRY(add(*above));
    TRY(describe(name_space, parent, *tree_.add_user_namespaces()));
    return known_[inode] = static_cast<uint32_t>(tree_.user_namespaces_size());
  }

  UserNamespaces known() && { return std::move(known_); }

 private:
  static Result<void> describe(const Fd& name_space, uint32_t parent, image::UserNamespace& out) {
    auto maps = TRY(sys::read_user_maps(name_space));
    out.set_parent(parent);
    out.set_owner(TRY(sys::owner_of_user_namespace(name_space)));
    *out.mutable_users() = TRY(parse_id_ranges(maps.users));
    *out.mutable_groups() = TRY(parse_id_ranges(maps.groups));
    out.set_denies_setgroups(maps.denies_setgroups);
    return {};
  }

  image::Tree& tree_;
  UserNamespaces known_;
};

// Who enters a user namespace gets directories of its own, and its threads all have those.
Result<void> refuse_shared_directories(const FrozenProcess& frozen, const image::Process& process) {
  if (process.shares_directories())
    return fail(Code::kUnsupported,
                "shares its directories (CLONE_FS) with another process and is in a user namespace "
                "of its own");
  if (std::ranges::any_of(frozen.threads, &FrozenThread::own_directories))
    return fail(Code::kUnsupported,
                "has threads with directories of their own in a user namespace of its own");
  return {};
}

// Such a namespace would belong to the user namespace, and could be joined only from inside it.
Result<void> refuse_other_namespaces(const FrozenProcess& frozen, const FrozenProcess& root) {
  if (frozen.ipc_namespace == root.ipc_namespace && frozen.mount_namespace == root.mount_namespace)
    return {};
  return fail(Code::kUnsupported,
              "has an IPC or mount namespace of its own beside a user namespace of its own");
}

// 0: the kernel has none.
Result<ino_t> own_user_namespace() {
  constexpr const char* kOwn = "/proc/self/ns/user";
  if (::access(kOwn, F_OK) != 0) return ino_t{0};
  return sys::number_of_namespace(TRY(open_file(kOwn, O_RDONLY)));
}

}  // namespace

Result<UserNamespaces> describe_user_namespaces(const std::vector<FrozenProcess>& processes,
                                                image::Tree& tree) {
  const ino_t of_group = TRY(own_user_namespace());
  Survey survey(of_group, tree);
  for (size_t i = 0; i < processes.size(); ++i) {
    const FrozenProcess& process = processes[i];
    if (process.zombie || process.user_namespace == of_group) continue;
    const std::string name = "process " + to_string(process.pid);
    TRY_IN(refuse_shared_directories(process, tree.processes(static_cast<int>(i))), name);
    TRY_IN(refuse_other_namespaces(process, processes.front()), name);
    Fd own = TRY(open_file(sys::proc_path(process.living, "ns/user"), O_RDONLY));
    const uint32_t found = TRY_IN(survey.add(own), name);
    if (found == 0) continue;
    tree.mutable_user_namespaces(static_cast<int>(found - 1))->add_processes(process.ns_pid.value);
  }
  return std::move(survey).known();
}

bool is_within(const image::Tree& tree, uint32_t user_namespace, uint32_t other) {
  while (user_namespace > other)
    user_namespace = tree.user_namespaces(static_cast<int>(user_namespace - 1)).parent();
  return user_namespace == other;
}

Result<UserNamespacesRestore> UserNamespacesRestore::make(const image::Tree& tree) {
  UserNamespacesRestore restore(tree);
  for (const image::UserNamespace& wanted : tree.user_namespaces())
    TRY_IN(restore.add(wanted), fmt::format("user namespace of user {}", wanted.owner()));
  return restore;
}

Result<void> UserNamespacesRestore::add(const image::UserNamespace& wanted) {
  if (wanted.parent() > made_.size())
    return fail(Code::kBadImage, "it comes before the one it lies in");
  const UserView of_group{IdMap::of_group(), IdMap::of_group()};
  const Made* parent = wanted.parent() == 0 ? nullptr : &made_[wanted.parent() - 1];
  const UserView& outside = parent == nullptr ? of_group : parent->view;
  UserView view{TRY(IdMap::below(outside.users, wanted.users())),
                TRY(IdMap::below(outside.groups, wanted.groups()))};
  auto owner = outside.users.inside(wanted.owner());
  auto group = outside.groups.any_inside();  // which one has no effect
  if (!owner || !group) return fail(Code::kBadImage, "the one above does not know its owner");
  Fd made = TRY(sys::make_user_namespace(
      parent == nullptr ? Fd() : TRY(parent->file.duplicate()), *owner, *group,
      {id_map_text(wanted.users()), id_map_text(wanted.groups()), wanted.denies_setgroups()}));
  made_.push_back({std::move(made), std::move(view)});
  for (int32_t process : wanted.processes())
    of_process_[process] = static_cast<uint32_t>(made_.size());
  return {};
}

uint32_t UserNamespacesRestore::of(int32_t process) const {
  auto found = of_process_.find(process);
  return found == of_process_.end() ? 0 : found->second;
}

std::vector<uint32_t> UserNamespacesRestore::way_of(int32_t process) const {
  std::vector<uint32_t> way;
  for (uint32_t at = of(process); at != 0;
       at = tree_->user_namespaces(static_cast<int>(at - 1)).parent())
    way.push_back(at);
  std::ranges::reverse(way);
  return way;
}

Result<Fd> UserNamespacesRestore::open(uint32_t user_namespace) const {
  if (user_namespace == 0 || user_namespace > made_.size())
    return fail(Code::kBadImage, fmt::format("no user namespace {}", user_namespace));
  return made_[user_namespace - 1].file.duplicate();
}

const UserView* UserNamespacesRestore::view_of(int32_t process) const {
  const uint32_t own = of(process);
  return own == 0 ? nullptr : &made_[own - 1].view;
}

Result<void> UserNamespacesRestore::enter(Task& task, uint32_t user_namespace,
                                          DescriptorChannel& channel) const {
  return join_namespace(task, made_[user_namespace - 1].file, CLONE_NEWUSER,
                        "enter a user namespace", channel);
}

}  // namespace martlet::engine
