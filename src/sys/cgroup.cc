#include "sys/cgroup.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <sstream>

#include "base/fd.h"

namespace martlet::sys {
namespace {

bool is_v2(const std::string& directory) {
  return access((directory + "/cgroup.procs").c_str(), F_OK) == 0 &&
         access((directory + "/cgroup.events").c_str(), F_OK) == 0;
}

bool exists(const std::string& directory) {
  return access(directory.c_str(), F_OK) == 0;
}

// The kernel gives no event that covers both versions, so the state is read until it is as wanted.
Result<void> wait_until(const std::function<Result<bool>()>& condition, Nanoseconds timeout,
                        const std::string& what) {
  SystemClock clock;
  const Stopwatch watch(clock);
  for (Nanoseconds pause = std::chrono::microseconds(50);;
       pause = std::min<Nanoseconds>(2 * pause, std::chrono::milliseconds(10))) {
    if (TRY(condition())) return {};
    if (watch.elapsed() > timeout) return fail(Code::kTimeout, what + " did not finish in time");
    clock.sleep_for(pause);
  }
}

Result<void> set_frozen(const std::string& directory, bool frozen, Nanoseconds timeout) {
  const bool v2 = is_v2(directory);
  const std::string control = directory + (v2 ? "/cgroup.freeze" : "/freezer.state");
  const std::string_view value = v2 ? (frozen ? "1" : "0") : (frozen ? "FROZEN" : "THAWED");
  const auto reached = [&]() -> Result<bool> {
    // In v1 a task that forks while it is frozen needs the state to be written again.
    if (!v2) TRY(write_file(control, value));
    return TRY(is_frozen(directory)) == frozen;
  };
  if (v2) TRY(write_file(control, value));
  const auto result = wait_until(reached, timeout, frozen ? "freezing" : "thawing");
  if (!result && frozen) (void)write_file(control, v2 ? "0" : "THAWED");
  return in_context(result, "cgroup " + directory);
}

// One line of /proc/self/mountinfo: "... MOUNTPOINT OPTIONS ... - TYPE SOURCE SUPER_OPTIONS".
struct Mount {
  std::string point, type, super_options;
};

Mount parse_mount(const std::string& line) {
  Mount mount;
  std::istringstream fields(line);
  std::string skipped;
  fields >> skipped >> skipped >> skipped >> skipped >> mount.point;
  while (fields >> skipped && skipped != "-") {
  }
  fields >> mount.type >> skipped >> mount.super_options;
  return mount;
}

bool has_option(const std::string& options, const std::string& name) {
  return ("," + options + ",").find("," + name + ",") != std::string::npos;
}

// What a hierarchy controls is among the options of its file system.
std::string controllers_in(const std::string& super_options) {
  constexpr std::array<std::string_view, 8> kOthers = {
      "rw", "ro", "xattr", "noprefix", "clone_children", "none", "seclabel", "cpuset_v2_mode"};
  std::string controllers;
  std::istringstream options(super_options);
  for (std::string option; std::getline(options, option, ',');) {
    if (std::ranges::find(kOthers, option) != kOthers.end() || option.starts_with("release_agent="))
      continue;
    if (!controllers.empty()) controllers += ',';
    controllers += option;
  }
  return controllers;
}

// The cgroup itself and all below it, each after those below it.
std::vector<std::string> directories_of(const std::string& top) {
  std::error_code ignored;
  std::vector<std::string> directories{top};
  for (std::filesystem::recursive_directory_iterator entry(top, ignored), end; entry != end;
       entry.increment(ignored))
    if (entry->is_directory(ignored)) directories.push_back(entry->path());
  std::ranges::sort(directories, std::greater<>());
  return directories;
}

// A threaded cgroup does not list its processes; the one above it does.
std::vector<HostPid> processes_at_or_below(const std::string& top) {
  std::vector<HostPid> found;
  for (const std::string& directory : directories_of(top))
    if (const auto processes = processes_of(directory))
      found.insert(found.end(), processes->begin(), processes->end());
  return found;
}

}  // namespace

std::vector<CgroupHierarchy> parse_hierarchies(std::string_view mountinfo) {
  std::vector<CgroupHierarchy> hierarchies;
  std::istringstream lines{std::string(mountinfo)};
  for (std::string line; std::getline(lines, line);) {
    const Mount mount = parse_mount(line);
    if (mount.type != "cgroup" && mount.type != "cgroup2") continue;
    std::string name = mount.type == "cgroup" ? controllers_in(mount.super_options) : "";
    if (std::ranges::find(hierarchies, name, &CgroupHierarchy::name) == hierarchies.end())
      hierarchies.push_back({std::move(name), mount.point});
  }
  return hierarchies;
}

Result<std::vector<CgroupHierarchy>> list_hierarchies() {
  return parse_hierarchies(TRY(read_file("/proc/self/mountinfo")));
}

std::string cgroup_path(std::string_view proc_cgroup, std::string_view controller) {
  while (!proc_cgroup.empty()) {
    std::string_view line = proc_cgroup.substr(0, proc_cgroup.find('\n'));
    proc_cgroup.remove_prefix(std::min(line.size() + 1, proc_cgroup.size()));
    size_t first = line.find(':');
    size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    if (controllers.find(fmt::format(",{},", controller)) != std::string::npos)
      return std::string(line.substr(second + 1));
  }
  return {};
}

Result<CgroupLayout> parse_cgroup_mounts(std::string_view mountinfo) {
  CgroupLayout layout;
  std::istringstream lines{std::string(mountinfo)};
  std::string line;
  while (std::getline(lines, line)) {
    const Mount mount = parse_mount(line);
    const bool v2 = mount.type == "cgroup2";
    if (!v2 && mount.type != "cgroup") continue;
    layout.hierarchies.push_back(mount.point);
    if (v2 || (layout.freezer.empty() && has_option(mount.super_options, "freezer"))) {
      layout.freezer = mount.point;
      layout.unified = v2;
    }
  }
  if (layout.freezer.empty())
    return std::unexpected(
        Error(Code::kUnsupported, "no cgroup hierarchy with a freezer is mounted")
            .with_remedy("mount cgroup2 at /sys/fs/cgroup"));
  return layout;
}

Result<CgroupLayout> detect_cgroups() {
  return parse_cgroup_mounts(TRY(read_file("/proc/self/mountinfo")));
}

Result<bool> is_frozen(const std::string& directory) {
  if (is_v2(directory))
    return TRY(read_file(directory + "/cgroup.events")).find("frozen 1") != std::string::npos;
  return TRY(read_file(directory + "/freezer.state")).starts_with("FROZEN");
}

Result<void> freeze_cgroup(const std::string& directory, Nanoseconds timeout) {
  return set_frozen(directory, true, timeout);
}

Result<void> thaw_cgroup(const std::string& directory, Nanoseconds timeout) {
  return set_frozen(directory, false, timeout);
}

Result<std::vector<HostPid>> processes_of(const std::string& directory) {
  std::vector<HostPid> processes;
  if (!exists(directory)) return processes;
  std::istringstream lines(TRY(read_file(directory + "/cgroup.procs")));
  pid_t pid = 0;
  while (lines >> pid) processes.push_back(HostPid(pid));
  return processes;
}

Result<void> kill_cgroup(const std::string& directory, Nanoseconds timeout) {
  const auto empty = [&]() -> Result<bool> {
    const auto processes = processes_at_or_below(directory);
    for (const HostPid process : processes) kill(process.value, SIGKILL);
    return processes.empty();
  };
  if (exists(directory) && !is_v2(directory))
    for (const std::string& frozen : directories_of(directory)) (void)thaw_cgroup(frozen, timeout);
  return in_context(wait_until(empty, timeout, "killing all processes"), "cgroup " + directory);
}

void remove_cgroup(const CgroupLayout& layout, const std::string& path) {
  for (const std::string& hierarchy : layout.hierarchies)
    for (const std::string& directory : directories_of(hierarchy + path)) rmdir(directory.c_str());
}

}  // namespace martlet::sys
