#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "engine/mounts/mount_copies.h"
#include "engine/mounts/mount_survey.h"
#include "engine/mounts/own_mounts.h"
#include "sys/namespaces.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

using Mounts = std::vector<Mount>;

// A mount namespace, what is mounted in it and who lives in it.
struct Inhabited {
  MountView view;
  Mounts mounts;
  std::vector<const FrozenProcess*> processes;
};

// That of the root comes first.
Result<std::vector<Inhabited>> find_namespaces(const std::vector<FrozenProcess>& processes) {
  std::vector<Inhabited> found;
  std::map<ino_t, size_t> known;
  for (const FrozenProcess& process : processes) {
    if (process.zombie) continue;
    auto [entry, is_new] = known.try_emplace(process.mount_namespace, found.size());
    if (is_new) {
      MountView view = TRY(MountView::of_namespace(process.living));
      Mounts mounts = TRY(view.mounts());
      found.push_back({std::move(view), std::move(mounts), {}});
    }
    found[entry->second].processes.push_back(&process);
  }
  return found;
}

std::set<dev_t> devices_of(const Mounts& mounts) {
  std::set<dev_t> devices;
  for (const Mount& mount : mounts) devices.insert(mount.device);
  return devices;
}

bool is_empty(const image::Mounts& mounts) {
  return mounts.removed().empty() && mounts.own().empty() && mounts.changed().empty();
}

// The mount table of a process that has another root directory tells nothing of what is outside.
Result<image::Mounts> describe_root(CaptureContext& context, const Mounts& first,
                                    const Inhabited& root, const PeerGroups& groups,
                                    const std::set<dev_t>& of_host) {
  auto found = TRY(survey_mounts(
      context, {.view = root.view, .first = first, .now = root.mounts, .foreign = of_host},
      groups));
  if (!is_empty(found) && !shows_root(first, TRY(read_mounts(context.root()))))
    return fail(Code::kUnsupported,
                "the container's first process has another root directory than its mounts");
  return found;
}

Result<bool> are_as_at_first(HostPid root, std::string_view first_mounts,
                             const std::vector<FrozenProcess>& processes) {
  const bool has_others = std::ranges::any_of(processes, [&](const FrozenProcess& process) {
    return !process.zombie && process.mount_namespace != processes.front().mount_namespace;
  });
  if (has_others) return false;
  return first_mounts.empty() || TRY(read_file(sys::proc_path(root, "mountinfo"))) == first_mounts;
}

size_t count_copies(const Mounts& source, const Mounts& copy) {
  const Mounts first = as_in_copy(source, copy);
  return static_cast<size_t>(std::ranges::count_if(
      first, [&](const Mount& mount) { return find_same(copy, mount) != nullptr; }));
}

// The one before it that it has most mounts of.
size_t source_of(const std::vector<Inhabited>& namespaces, size_t index) {
  size_t source = 0, most = 0;
  for (size_t i = 0; i < index; ++i) {
    const size_t copies = count_copies(namespaces[i].mounts, namespaces[index].mounts);
    if (copies <= most) continue;
    most = copies;
    source = i;
  }
  return source;
}

Result<void> check_owner(const Fd& name_space, const FrozenProcess& root) {
  Fd owner(::ioctl(name_space.get(), NS_GET_USERNS));
  if (!owner.valid()) return fail_errno("find the owner of a mount namespace");
  if (TRY(sys::number_of_namespace(owner)) == root.user_namespace) return {};
  return fail(Code::kUnsupported, "which belongs to a user namespace of its own");
}

// A process that joins takes the root directory of the namespace.
Result<void> check_rights(const FrozenProcess& root) {
  if ((root.status.cap_bounding >> CAP_SYS_CHROOT & 1) != 0) return {};
  return std::unexpected(
      Error(Code::kUnsupported, "and the container has no right to CAP_SYS_CHROOT")
          .with_remedy("give it the capability in the bundle"));
}

std::map<ino_t, int32_t> pid_namespaces_in(const Inhabited& name_space) {
  std::map<ino_t, int32_t> found;
  for (const FrozenProcess* process : name_space.processes)
    found.try_emplace(process->pid_namespace, process->ns_pid.value);
  return found;
}

Result<void> describe_copy(CaptureContext& context, const std::vector<Inhabited>& namespaces,
                           size_t index, const PeerGroups& groups, std::set<dev_t> foreign,
                           image::MountNamespace& out) {
  const Inhabited& own = namespaces[index];
  const FrozenProcess& root = *namespaces.front().processes.front();
  TRY(context.judge(check_rights(root)));
  TRY(check_owner(own.view.name_space, root));
  const size_t number = source_of(namespaces, index);
  const Inhabited& source = namespaces[number];
  for (size_t i = 0; i < index; ++i) foreign.merge(devices_of(namespaces[i].mounts));
  for (dev_t device : devices_of(source.mounts)) foreign.erase(device);
  const Mounts first = as_in_copy(source.mounts, own.mounts);
  out.set_source(static_cast<uint32_t>(number));
  for (const FrozenProcess* process : own.processes) out.add_processes(process->ns_pid.value);
  *out.mutable_changes() = TRY(survey_mounts(context,
                                             {.view = own.view,
                                              .first = first,
                                              .now = own.mounts,
                                              .source = &source.view,
                                              .of_source = &source.mounts,
                                              .foreign = std::move(foreign),
                                              .pid_namespaces = pid_namespaces_in(own)},
                                             groups));
  return {};
}

}  // namespace

bool can_be_made(std::string_view type) {
  constexpr std::array<std::string_view, 5> kTypes = {"tmpfs", "proc", "sysfs", "mqueue", "devpts"};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

Result<image::Mounts> describe_own_mounts(CaptureContext& context, std::string_view first_mounts,
                                          const std::vector<FrozenProcess>& processes) {
  image::Mounts out;
  if (TRY(are_as_at_first(context.root(), first_mounts, processes))) return out;
  auto namespaces = TRY(find_namespaces(processes));
  const Mounts first = first_mounts.empty() ? namespaces[0].mounts : parse_mounts(first_mounts);
  const auto of_host = devices_of(TRY(read_mounts(HostPid(::getpid()))));
  PeerGroups groups(first);
  for (const Inhabited& each : namespaces) groups.add(each.mounts);
  TRY(context.judge_in("mounts", [&]() -> Result<void> {
    out = TRY(describe_root(context, first, namespaces[0], groups, of_host));
    return {};
  }));
  for (size_t i = 1; i < namespaces.size(); ++i)
    TRY(context.judge_in(fmt::format("task {} has a mount namespace of its own",
                                     namespaces[i].processes.front()->pid.value),
                         [&] {
                           return describe_copy(context, namespaces, i, groups, of_host,
                                                *out.add_namespaces());
                         }));
  for (size_t i = 1; i < namespaces.size(); ++i)
    context.mounts().add(std::move(namespaces[i].view), namespaces[i].mounts);
  return out;
}

}  // namespace martlet::engine
