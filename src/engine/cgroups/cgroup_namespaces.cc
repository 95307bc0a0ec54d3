#include "engine/cgroups/cgroup_namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/fd.h"
#include "engine/tasks/join_namespace.h"
#include "sys/cgroup.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr std::string_view kOutside = "/..";

// Of a hierarchy of several controllers each knows the path.
std::string_view key_of(const ContainerCgroup& cgroup) {
  return std::string_view(cgroup.hierarchy).substr(0, cgroup.hierarchy.find(','));
}

// /proc/PID/cgroup of every process, as this thread's namespace shows it.
std::vector<std::string> read_places(const std::vector<FrozenProcess>& processes) {
  std::vector<std::string> places;
  for (const FrozenProcess& process : processes)
    places.push_back(
        process.zombie ? "" : read_file(sys::proc_path(process.living, "cgroup")).value_or(""));
  return places;
}

// The path of the namespace's root, from one process's place as it is and as the namespace shows
// it. Nothing if the process lives outside of that root.
std::optional<std::string> root_from(const std::string& place, std::string shown) {
  if (shown == "/") shown.clear();
  if (shown.starts_with(kOutside) || !place.ends_with(shown)) return std::nullopt;
  return place.substr(0, place.size() - shown.size());
}

using Places = std::vector<std::string>;

std::optional<std::string> find_root(std::string_view key, const Places& here,
                                     const Places& there) {
  for (size_t i = 0; i < here.size(); ++i) {
    if (here[i].empty()) continue;
    auto root = root_from(sys::cgroup_path(here[i], key), sys::cgroup_path(there[i], key));
    if (root) return root;
  }
  return std::nullopt;
}

Result<void> describe_roots(const std::vector<ContainerCgroup>& cgroups, const Places& here,
                            const Places& there, image::CgroupNamespace& out) {
  for (const ContainerCgroup& base : cgroups) {
    if (!has_cgroups_below(base.directory)) continue;
    const auto root = find_root(key_of(base), here, there);
    if (!root || (*root != base.path && !root->starts_with(base.path + "/")))
      return fail(
          Code::kUnsupported,
          fmt::format("no process lives in the root of its cgroup namespace in {}", base.name()));
    if (*root == base.path) continue;
    image::CgroupRoot& found = *out.add_roots();
    found.set_hierarchy(base.hierarchy);
    found.set_path(root->substr(base.path.size() + 1));
  }
  return {};
}

bool has_any_below(const std::vector<ContainerCgroup>& cgroups) {
  return std::ranges::any_of(
      cgroups, [](const ContainerCgroup& base) { return has_cgroups_below(base.directory); });
}

Result<void> live_in(const ContainerCgroup& base, const std::string& path, const Task& task) {
  const std::string list = directory_of(base, path) + "/cgroup.procs";
  return in_context(write_file(list, to_string(task.host_pid())), "live in " + list);
}

Result<const ContainerCgroup*> base_of(const std::vector<ContainerCgroup>& cgroups,
                                       const image::CgroupRoot& root) {
  auto base = std::ranges::find(cgroups, root.hierarchy(), &ContainerCgroup::hierarchy);
  if (base == cgroups.end() || !is_cgroup_path(root.path()))
    return fail(Code::kBadImage, "the root of a cgroup namespace is not possible");
  return &*base;
}

// Where the process lives at that moment becomes the root of its namespace.
Result<void> make(const image::CgroupNamespace& name_space,
                  const std::vector<ContainerCgroup>& cgroups, Task& task) {
  for (const image::CgroupRoot& root : name_space.roots())
    TRY(live_in(*TRY(base_of(cgroups, root)), root.path(), task));
  TRY(task.call("make a cgroup namespace", SYS_unshare, {CLONE_NEWCGROUP}));
  for (const image::CgroupRoot& root : name_space.roots())
    TRY(live_in(*TRY(base_of(cgroups, root)), "", task));
  return {};
}

}  // namespace

Result<void> describe_cgroup_namespaces(const std::vector<FrozenProcess>& processes,
                                        const std::vector<ino_t>& of_processes,
                                        const std::vector<ContainerCgroup>& cgroups,
                                        image::Cgroups& image) {
  const ino_t of_root = of_processes.front();
  const bool all_alike = !has_any_below(cgroups);  // so that each has the same root
  std::map<ino_t, image::CgroupNamespace> found;
  std::optional<Places> here;
  for (size_t i = 0; i < processes.size(); ++i) {
    const FrozenProcess& process = processes[i];
    const ino_t inode = of_processes[i];
    if (process.zombie || (inode == of_root && all_alike)) continue;
    if (cgroups.empty())
      return fail(Code::kUnsupported,
                  fmt::format("task {} has a cgroup namespace of its own", process.pid.value));
    auto [entry, is_new] = found.try_emplace(inode);
    entry->second.add_processes(process.ns_pid.value);
    if (!is_new || all_alike) continue;
    if (!here) here = read_places(processes);
    TRY(run_in_namespace(process.living, "cgroup", [&] {
      return describe_roots(cgroups, *here, read_places(processes), entry->second);
    }));
  }
  for (const auto& [inode, name_space] : found)
    if (inode != of_root || name_space.roots_size() != 0) *image.add_namespaces() = name_space;
  return {};
}

Result<void> apply_cgroup_namespaces(const image::Cgroups& image,
                                     const std::vector<ContainerCgroup>& cgroups,
                                     DescriptorChannel& channel, const LeaderOf& leader_of) {
  for (const image::CgroupNamespace& name_space : image.namespaces()) {
    Fd made;
    for (int32_t pid : name_space.processes()) {
      Task* task = leader_of(pid);
      if (task == nullptr) return fail(Code::kBadImage, "a cgroup namespace of no process");
      if (made.valid()) {
        TRY(join_namespace(*task, made, CLONE_NEWCGROUP, "enter a cgroup namespace", channel));
        continue;
      }
      TRY(make(name_space, cgroups, *task));
      made = TRY(open_file(sys::proc_path(task->host_pid(), "ns/cgroup"), O_RDONLY));
    }
  }
  return {};
}

}  // namespace martlet::engine
