#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "engine/mounts/attributes.h"
#include "engine/mounts/mount_state.h"
#include "engine/mounts/mount_table.h"
#include "engine/mounts/own_mounts.h"
#include "engine/tasks/join_namespace.h"
#include "sys/namespaces.h"

namespace martlet::engine {
namespace {

// Neither symbolic links nor other mounts are on the way.
Result<Fd> open_inside(const Fd& mount, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  const char* name = path.empty() ? "." : path.c_str();
  Fd fd(static_cast<int>(::syscall(SYS_openat2, mount.get(), name, &how, sizeof how)));
  if (!fd.valid()) return fail_errno("open " + path);
  return fd;
}

Result<Fd> clone(const Fd& place) {
  Fd mount(static_cast<int>(::syscall(SYS_open_tree, place.get(), "",
                                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)));
  if (!mount.valid()) return fail_errno("show it again");
  return mount;
}

Result<void> make_files_read_only(const Fd& mount) {
  Fd system(
      static_cast<int>(::syscall(SYS_fspick, mount.get(), "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH)));
  if (!system.valid() ||
      ::syscall(SYS_fsconfig, system.get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0) != 0 ||
      ::syscall(SYS_fsconfig, system.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) != 0)
    return fail_errno("make the file system read-only");
  return {};
}

Result<void> join_group(const Fd& from, const Fd& to) {
  TRY(set_mount_propagation(to, MS_PRIVATE));
  if (::syscall(SYS_move_mount, from.get(), "", to.get(), "",
                MOVE_MOUNT_SET_GROUP | MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return fail_errno("join the mounts that it shares with");
  return {};
}

constexpr std::string_view kRoot = "/";
constexpr size_t kPadding = 64;  // of a few strings in an arena

using Devices = std::set<dev_t>;

// Places in a tmpfs come with its contents, which follow; all others are there.
Result<void> make_in_tmpfs(const Fd& top, const std::string& path, mode_t type,
                           const Devices& of_host) {
  struct stat status{};
  if (path.empty() || ::fstatat(top.get(), path.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0)
    return {};
  if (errno != ENOENT) return fail_errno("look for " + path);
  const std::string above = parent_of(path);
  TRY(make_in_tmpfs(top, above, S_IFDIR, of_host));
  Fd parent(::openat(top.get(), above.empty() ? "." : above.c_str(),
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct statfs system{};
  if (!parent.valid() || ::fstatfs(parent.get(), &system) != 0 ||
      ::fstat(parent.get(), &status) != 0)
    return fail_errno("open " + above);
  if (system.f_type != TMPFS_MAGIC || of_host.contains(status.st_dev))
    return fail(Code::kNotFound, fmt::format("there is no {}", path));
  const std::string name = name_of(path);
  if ((type == S_IFDIR ? ::mkdirat(parent.get(), name.c_str(), 0700)
                       : ::mknodat(parent.get(), name.c_str(), S_IFREG | 0600, 0)) != 0)
    return fail_errno("create " + path);
  return {};
}

Result<void> make_point(const std::string& point, mode_t type, const Devices& of_host) {
  if (!point.starts_with('/')) return fail(Code::kBadImage, "a mount point is no path");
  Fd root = TRY(open_file("/", O_PATH | O_DIRECTORY));
  return make_in_tmpfs(root, point.substr(1), type, of_host);
}

mode_t type_of(const image::OwnMount& own) {
  return own.type().empty() && !own.place().directory() ? S_IFREG : S_IFDIR;
}

std::string link_of(const std::string& point) {
  return "mount " + point;
}

Result<void> mount_new(Task& task, const image::OwnMount& own) {
  Program program(task.arena());
  if (!program.fits(1, own.ByteSizeLong() + kPadding))
    return fail(Code::kBadImage, "options of an impossible length");
  program.call("mount", SYS_mount,
               {program.put_string(own.name()), program.put_string(own.point()),
                program.put_string(own.type()), 0, program.put_string(own.options())});
  return task.run(program);
}

}  // namespace

Result<void> MountsRestore::apply(Task& first, DescriptorChannel& channel, image::Mounts mounts) {
  if (mounts_.ByteSizeLong() != 0) return fail(Code::kBadImage, "mounts come twice");
  mounts_ = std::move(mounts);
  for (const Mount& mount : TRY(read_mounts(HostPid(::getpid())))) of_host_.insert(mount.device);
  TRY(change(first, channel, mounts_));
  if (mounts_.namespaces().empty()) return {};
  const Fd of_root = TRY(sys::open_namespace(first.host_pid(), sys::NamespaceKind::kMount));
  for (const image::MountNamespace& image : mounts_.namespaces())
    TRY_IN(add_namespace(first, of_root, channel, image),
           fmt::format("mount namespace {}", context_.mounts().count()));
  return join_namespace(first, of_root, CLONE_NEWNS, "enter a mount namespace", channel);
}

// The first task is in the namespace that it has made until there is another. Nothing that is
// mounted here may show elsewhere.
Result<void> MountsRestore::add_namespace(Task& first, const Fd& of_root,
                                          DescriptorChannel& channel,
                                          const image::MountNamespace& image) {
  if (image.changes().namespaces_size() != 0)
    return fail(Code::kBadImage, "a mount namespace within another");
  if (image.source() != current_) {
    const Fd source = TRY(image.source() == 0
                              ? of_root.duplicate()
                              : std::move(TRY(context_.mounts().view(image.source())).name_space));
    TRY(join_namespace(first, source, CLONE_NEWNS, "enter a mount namespace", channel));
  }
  TRY(first.call("make a mount namespace", SYS_unshare, {CLONE_NEWNS}));
  current_ = context_.mounts().count();
  TRY(in_namespace([]() -> Result<void> {
    if (::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0)
      return fail_errno("keep mounts from their peers");
    return {};
  }));
  TRY(change(first, channel, image.changes()));
  context_.mounts().add(TRY(MountView::of_process(first.host_pid())), {});
  return {};
}

Result<void> MountsRestore::change(Task& first, DescriptorChannel& channel,
                                   const image::Mounts& mounts) {
  first_own_ = entries_.size();
  TRY(in_namespace([&] { return change_declared(mounts); }));
  for (const image::OwnMount& own : mounts.own()) {
    TRY_IN(own.type().empty() ? bind(own) : make(first, own), link_of(own.point()));
    if (own.point() == kRoot) TRY(turn_root(first, channel));
  }
  for (Entry& changed : changed_) entries_.push_back(std::move(changed));
  changed_.clear();
  return {};
}

// The mount on top of the root directory becomes that, and what was below is left behind.
Result<void> MountsRestore::turn_root(Task& first, DescriptorChannel& channel) {
  if (current_ == 0 || entries_.size() != first_own_ + 1)
    return fail(Code::kBadImage, "a root at an impossible place");
  const std::array<int, 1> wanted = {entries_.back().mount.get()};
  const int number = TRY(channel.send(first, wanted))[0];
  Program program(first.arena());
  const TargetAddr here = program.put_string(".");
  program.call("enter the new root", SYS_fchdir, {number});
  program.call("close", SYS_close, {number});
  program.call("pivot_root", SYS_pivot_root, {here, here});
  program.call("leave the root", SYS_umount2, {here, MNT_DETACH});
  return first.run(program);
}

Result<void> MountsRestore::in_namespace(const std::function<Result<void>()>& work) const {
  return TRY(MountView::of_process(context_.root())).run(work);
}

// What is shown of declared mounts is taken before any of them is gone or hidden.
Result<void> MountsRestore::change_declared(const image::Mounts& mounts) {
  for (const image::OwnMount& own : mounts.own())
    if (own.type().empty() && !own.place().declared().empty())
      TRY_IN(take_declared(own), link_of(own.point()));
  for (const image::ChangedMount& changed : mounts.changed())
    changed_.push_back({TRY_IN(open_mount_point(changed.point()), link_of(changed.point())),
                        &changed.state(), changed.point(), current_});
  for (const std::string& point : mounts.removed())
    if (::umount2(point.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0)
      return fail_errno("unmount " + point);
  return {};
}

Result<void> MountsRestore::take_declared(const image::OwnMount& own) {
  const image::BoundPlace& place = own.place();
  Fd declared = TRY(open_mount_point(place.declared()));
  TRY(make_in_tmpfs(declared, place.path(), type_of(own), of_host_));
  from_declared_[&own] = TRY(clone(TRY(open_inside(declared, place.path()))));
  return {};
}

Result<void> MountsRestore::bind(const image::OwnMount& own) {
  return in_namespace([&]() -> Result<void> {
    auto taken = from_declared_.find(&own);
    Fd mount = taken != from_declared_.end() ? std::move(taken->second) : TRY(take_own(own));
    // Even where it is not private in the end, nothing may come of it before.
    TRY(set_mount_propagation(mount, own.state().outer_master() ? MS_SLAVE : MS_PRIVATE));
    TRY(make_point(own.point(), type_of(own), of_host_));
    if (::syscall(SYS_move_mount, mount.get(), "", AT_FDCWD, own.point().c_str(),
                  MOVE_MOUNT_F_EMPTY_PATH) != 0)
      return fail_errno("attach");
    add_entry(std::move(mount), own);
    return {};
  });
}

Result<Fd> MountsRestore::take_own(const image::OwnMount& own) const {
  const image::BoundPlace& place = own.place();
  if (place.own() == 0 || place.own() > entries_.size() - first_own_)
    return fail(Code::kBadImage, "shows a mount that there is not yet");
  const Fd& source = entries_[first_own_ + place.own() - 1].mount;
  TRY(make_in_tmpfs(source, place.path(), type_of(own), of_host_));
  return clone(TRY(open_inside(source, place.path())));
}

Result<void> MountsRestore::make(Task& first, const image::OwnMount& own) {
  if (!can_be_made(own.type())) return fail(Code::kBadImage, "a file system of an impossible type");
  TRY(in_namespace([&] { return make_point(own.point(), S_IFDIR, of_host_); }));
  TRY(mount_new(first, own));
  return in_namespace([&]() -> Result<void> {
    // What lies on the root directory shows only from above.
    add_entry(TRY(open_mount_point(own.point() == kRoot ? "/.." : own.point())), own);
    return {};
  });
}

Result<void> MountsRestore::make_late(const image::MountNamespace& image, uint32_t number,
                                      const std::function<Task*(int32_t)>& leader_of) {
  current_ = number;
  for (const image::OwnMount& own : image.changes().late()) {
    Task* task = leader_of(own.process());
    if (own.type() != "proc" || task == nullptr ||
        std::ranges::find(image.processes(), own.process()) == image.processes().end())
      return fail(Code::kBadImage, "a late mount of an impossible sort");
    TRY_IN(mount_new(*task, own), link_of(own.point()));
    TRY(TRY(context_.mounts().view(number)).run([&]() -> Result<void> {
      add_entry(TRY_IN(open_mount_point(own.point()), link_of(own.point())), own);
      return {};
    }));
  }
  return {};
}

void MountsRestore::add_entry(Fd mount, const image::OwnMount& own) {
  entries_.push_back({std::move(mount), &own.state(), own.point(), current_});
}

Result<void> MountsRestore::enter(DescriptorChannel& channel,
                                  const std::function<Task*(int32_t)>& leader_of) {
  for (int i = 0; i < mounts_.namespaces_size(); ++i) {
    const MountView view = TRY(context_.mounts().view(static_cast<uint32_t>(i + 1)));
    for (int32_t pid : mounts_.namespaces(i).processes()) {
      Task* task = leader_of(pid);
      if (task == nullptr) return fail(Code::kBadImage, "a mount namespace of no process");
      TRY(join_namespace(*task, view.name_space, CLONE_NEWNS, "enter a mount namespace", channel));
    }
    TRY(make_late(mounts_.namespaces(i), static_cast<uint32_t>(i + 1), leader_of));
  }
  return {};
}

Result<void> MountsRestore::finish() {
  if (entries_.empty()) return {};
  TRY(each_inside([](const Entry& entry) -> Result<void> {
    if (entry.state->read_only_files()) TRY(make_files_read_only(entry.mount));
    return set_mount_flags(entry.mount, entry.state->attributes());
  }));
  TRY(make_groups());
  TRY(each_inside([this](const Entry& entry) -> Result<void> {
    if (entry.state->shared_group() != 0) return {};
    return set_alone(entry);
  }));
  let_go();
  return {};
}

// What is open here could not be unmounted by the processes.
void MountsRestore::let_go() {
  shared_.clear();
  entries_.clear();
  context_.mounts() = MountViews(context_.root());
}

Result<void> MountsRestore::each_inside(const std::function<Result<void>(const Entry&)>& work) {
  for (uint32_t number = 0; number < context_.mounts().count(); ++number)
    TRY(TRY(context_.mounts().view(number)).run([&]() -> Result<void> {
      for (const Entry& entry : entries_)
        if (entry.name_space == number) TRY_IN(work(entry), link_of(entry.point));
      return {};
    }));
  return {};
}

// A group is made when its masters are there: first who shows most of it, whom the others join.
Result<void> MountsRestore::make_groups() {
  std::map<uint32_t, Group> groups;
  for (const Entry& entry : entries_)
    if (uint32_t group = entry.state->shared_group()) groups[group].push_back(&entry);
  while (!groups.empty()) {
    const std::map<const Entry*, const Entry*> tops = take_next(groups);
    if (tops.empty()) return fail(Code::kBadImage, "mounts are slaves of each other");
    TRY(each_inside([&](const Entry& entry) -> Result<void> {
      auto found = tops.find(&entry);
      if (found == tops.end() || found->second != &entry) return {};
      TRY(set_alone(entry));
      return set_mount_propagation(entry.mount, MS_SHARED);
    }));
    TRY(each_inside([&](const Entry& entry) -> Result<void> {
      auto found = tops.find(&entry);
      if (found == tops.end() || found->second == &entry) return {};
      return join_group(found->second->mount, entry.mount);
    }));
    for (const auto& [entry, top] : tops) shared_[top->state->shared_group()] = top;
  }
  return {};
}

// Takes the groups out whose turn it is; returns their mounts, each with who shows most.
std::map<const MountsRestore::Entry*, const MountsRestore::Entry*> MountsRestore::take_next(
    std::map<uint32_t, Group>& groups) const {
  std::map<const Entry*, const Entry*> tops;
  std::erase_if(groups, [&](const auto& group) {
    const uint32_t master = group.second.front()->state->master_group();
    if (master != 0 && !shared_.contains(master)) return false;
    const Entry* top = *std::ranges::min_element(
        group.second, {}, [](const Entry* entry) { return entry->state->depth(); });
    for (const Entry* peer : group.second) tops[peer] = top;
    return true;
  });
  return tops;
}

// As if it had no peers of the container's.
Result<void> MountsRestore::set_alone(const Entry& entry) const {
  const image::MountState& state = *entry.state;
  if (uint32_t group = state.master_group()) {
    auto master = shared_.find(group);
    if (master == shared_.end()) return fail(Code::kBadImage, "its master is not there");
    TRY(join_group(master->second->mount, entry.mount));
    return set_mount_propagation(entry.mount, MS_SLAVE);
  }
  if (state.outer_master() || state.outer_peer()) return {};
  return set_mount_propagation(entry.mount, state.unbindable() ? MS_UNBINDABLE : MS_PRIVATE);
}

}  // namespace martlet::engine
