// Control groups: where their hierarchies are mounted, freezing, killing and removing.
//
// A host has cgroup v2 alone, v1 alone, or both ("hybrid": v1 controllers beside a v2 hierarchy
// without them). Freezing prefers v2 wherever it is, because a task that v2 froze can still be
// traced and killed, while one that v1 froze sleeps until it is thawed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

struct CgroupLayout {
  std::vector<std::string> hierarchies;  // mount points of all, v1 and v2
  std::string freezer;                   // the one whose directories freeze
  bool unified = false;                  // `freezer` is v2
};

// Errors: kUnsupported if no hierarchy can freeze.
Result<CgroupLayout> detect_cgroups();
Result<CgroupLayout> parse_cgroup_mounts(std::string_view mountinfo);

// One hierarchy, by what it controls as /proc/PID/cgroup calls it; v2 has no name.
struct CgroupHierarchy {
  std::string name;   // "pids", "cpu,cpuacct", "name=systemd", ""
  std::string mount;  // where it is mounted
};
Result<std::vector<CgroupHierarchy>> list_hierarchies();
std::vector<CgroupHierarchy> parse_hierarchies(std::string_view mountinfo);

// The line of /proc/PID/cgroup for this controller ("" for v2), without what is before the path.
// Empty if there is none.
std::string cgroup_path(std::string_view proc_cgroup, std::string_view controller);

// All of these take the absolute directory of a cgroup of either version. A cgroup that does not
// exist holds no process.
Result<void> freeze_cgroup(const std::string& directory, Nanoseconds timeout);
Result<void> thaw_cgroup(const std::string& directory, Nanoseconds timeout);
Result<bool> is_frozen(const std::string& directory);
Result<std::vector<HostPid>> processes_of(const std::string& directory);
// Kills every process in it and in those below, also frozen ones, and waits until none is left.
Result<void> kill_cgroup(const std::string& directory, Nanoseconds timeout);

// Removes the cgroup `path` (such as "/martlet-host-a/redis"), with the cgroups below it, from
// every hierarchy. Cgroups that are in use stay.
void remove_cgroup(const CgroupLayout& layout, const std::string& path);

}  // namespace martlet::sys
