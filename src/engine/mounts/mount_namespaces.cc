#include "engine/mounts/mount_namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "engine/files/fd_info.h"
#include "engine/files/paths.h"
#include "engine/mounts/mount_state.h"
#include "engine/mounts/mount_table.h"
#include "engine/tasks/join_namespace.h"
#include "sys/namespaces.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

// Ids differ from one namespace to the other.
using Key = std::tuple<std::string, std::string, dev_t, std::string, bool>;
using Table = std::map<Key, const Mount*>;

std::unexpected<Error> refuse(std::string what) {
  return std::unexpected(Error(Code::kUnsupported, std::move(what))
                             .with_remedy("declare the mounts in the bundle instead"));
}

Result<Table> by_key(const std::vector<Mount>& mounts) {
  Table table;
  for (const Mount& mount : mounts)
    if (!table
             .emplace(Key(mount.point, mount.root, mount.device, mount.type, mount.id_mapped),
                      &mount)
             .second)
      return refuse(fmt::format("{} is mounted twice at the same place", mount.point));
  return table;
}

// Compares the mounts of a namespace with those of the container's own.
class Comparison {
 public:
  Comparison(HostPid process, const std::vector<Mount>& container, const std::vector<Mount>& own)
      : process_(process), container_(container), own_(own) {
    for (const Mount& mount : container_)
      if (mount.shared_group != 0) shared_.insert(mount.shared_group);
  }

  Result<void> describe(image::MountNamespace& out) {
    const Table container = TRY(by_key(container_));
    const Table own = TRY(by_key(own_));
    for (const auto& [key, mount] : container)
      if (!own.contains(key)) return refuse(fmt::format("{} is not mounted there", mount->point));
    for (const auto& [key, mount] : own) {
      auto same = container.find(key);
      if (same == container.end() ||
          point_below(*mount, own_) != point_below(*same->second, container_))
        return refuse(fmt::format("{} ({}) was mounted there", mount->point, mount->type));
      TRY(check(*mount, *same->second));
      image::ChangedMount& state = *out.add_mounts();
      state.set_point(mount->point);
      state.mutable_state()->set_attributes(mount->attributes);
      state.mutable_state()->set_outer_master(mount->master_group != 0);
      state.mutable_state()->set_unbindable(mount->unbindable);
    }
    return {};
  }

 private:
  // Of the mount that it lies on.
  static std::string point_below(const Mount& mount, const std::vector<Mount>& mounts) {
    auto parent = std::ranges::find(mounts, mount.parent, &Mount::id);
    return parent == mounts.end() ? "" : parent->point;
  }

  Result<void> check(const Mount& mount, const Mount& of_container) const {
    if (mount.shared_group != 0)
      return refuse(fmt::format("{} shares its mounts with others", mount.point));
    if (mount.master_group != 0 &&
        (mount.master_group != of_container.master_group || shared_.contains(mount.master_group)))
      return refuse(fmt::format("{} gets mounts of the container", mount.point));
    auto fd = open_below_root(process_, mount.point, O_PATH | O_NOFOLLOW);
    struct statx status{};
    if (!fd || ::statx(fd->get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &status) != 0 ||
        status.stx_mnt_id != mount.id)
      return refuse(fmt::format("another mount hides {}", mount.point));
    return {};
  }

  HostPid process_;
  const std::vector<Mount>& container_;
  const std::vector<Mount>& own_;
  std::set<uint32_t> shared_;  // groups that mounts of the container are in
};

Result<void> check_directories(CaptureContext& context, const std::vector<Mount>& own) {
  for (const OpenFile& file : context.files()) {
    auto field = info_field(file.info, "mnt_id");
    auto id = field ? take_number(*field, 10) : std::nullopt;
    if (S_ISDIR(file.status.st_mode) && id && std::ranges::find(own, *id, &Mount::id) != own.end())
      return refuse(fmt::format("process {}: fd {} is a directory ({}) in it", file.holder.value,
                                file.number, file.link));
  }
  return {};
}

// A process that joins takes the root directory of the namespace.
bool may_join(const FrozenProcess& root) {
  return (root.status.cap_bounding >> CAP_SYS_CHROOT & 1) != 0;
}

Result<void> check_process(const FrozenProcess& process, const image::Process& described) {
  if (described.shares_directories() && !described.leaves_directories())
    return refuse(fmt::format("process {} shares its working directory with another in it",
                              process.pid.value));
  const bool is_removed_of_thread = std::ranges::any_of(
      described.threads(),
      [](const image::Thread& thread) { return thread.own_directories().removed_working() != 0; });
  if (described.removed_working_directory() != 0 || is_removed_of_thread)
    return refuse(
        fmt::format("the working directory of process {} was removed in it", process.pid.value));
  return {};
}

Result<void> make(const image::MountNamespace& image, Task& task) {
  TRY(task.call("make a mount namespace", SYS_unshare, {CLONE_NEWNS}));
  return run_in_namespace(task.host_pid(), "mnt", [&]() -> Result<void> {
    for (const image::ChangedMount& changed : image.mounts()) {
      const std::string what = "mount " + changed.point();
      const image::MountState& state = changed.state();
      Fd mount = TRY_IN(open_mount_point(changed.point()), what);
      TRY_IN(set_mount_flags(mount, state.attributes()), what);
      if (!state.outer_master())
        TRY_IN(set_mount_propagation(mount, state.unbindable() ? MS_UNBINDABLE : MS_PRIVATE), what);
    }
    return {};
  });
}

}  // namespace

Result<void> describe_mount_namespaces(CaptureContext& context,
                                       const std::vector<FrozenProcess>& processes, bool container,
                                       image::Tree& tree) {
  const FrozenProcess& root = processes.front();
  std::map<ino_t, image::MountNamespace*> known;
  for (size_t i = 0; i < processes.size(); ++i) {
    const FrozenProcess& process = processes[i];
    if (process.zombie || process.mount_namespace == root.mount_namespace) continue;
    TRY(context.judge_in(
        fmt::format("task {} has a mount namespace of its own", process.pid.value),
        [&]() -> Result<void> {
          if (!container) return fail(Code::kUnsupported, "which a process tree cannot have");
          TRY(check_process(process, tree.processes(static_cast<int>(i))));
          image::MountNamespace*& out = known[process.mount_namespace];
          if (out != nullptr && !may_join(root))
            return refuse("as have others, and the container has no right to CAP_SYS_CHROOT");
          if (out == nullptr) {
            out = tree.add_mount_namespaces();
            const auto own = TRY(read_mounts(process.living));
            TRY(check_directories(context, own));
            TRY(Comparison(process.living, TRY(read_mounts(root.living)), own).describe(*out));
          }
          out->add_processes(process.ns_pid.value);
          return {};
        }));
  }
  return {};
}

Result<void> apply_mount_namespaces(const image::Tree& tree, DescriptorChannel& channel,
                                    const std::function<Task*(int32_t)>& leader_of) {
  for (const image::MountNamespace& image : tree.mount_namespaces()) {
    Fd made;
    for (int32_t pid : image.processes()) {
      Task* task = leader_of(pid);
      if (task == nullptr) return fail(Code::kBadImage, "a mount namespace of no process");
      if (made.valid()) {
        TRY(join_namespace(*task, made, CLONE_NEWNS, "enter a mount namespace", channel));
        continue;
      }
      TRY(make(image, *task));
      made = TRY(sys::open_namespace(task->host_pid(), sys::NamespaceKind::kMount));
    }
  }
  return {};
}

}  // namespace martlet::engine
