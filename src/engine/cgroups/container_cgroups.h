// The cgroups of a container on this host: one in each hierarchy. Those that it makes for itself
// lie below them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

struct ContainerCgroup {
  std::string hierarchy;  // as sys::CgroupHierarchy names it
  std::string directory;  // absolute
  std::string path;       // in the hierarchy, as /proc/PID/cgroup tells it to this process
  bool is_v2() const { return hierarchy.empty(); }
  std::string name() const { return is_v2() ? "cgroup v2" : hierarchy; }  // for messages
};

// What lies below is known by its path from there, such as "a/b"; empty: the cgroup itself.
std::string directory_of(const ContainerCgroup& base, const std::string& path);
// Whether a cgroup can have this path.
bool is_cgroup_path(std::string_view path);
// Whether a cgroup, or a file in one, can have this name.
bool is_cgroup_name(std::string_view name);

// `freezer_cgroup` is the directory of the one that freezes it; empty: no container, no cgroups.
Result<std::vector<ContainerCgroup>> cgroups_of_container(const std::string& freezer_cgroup);

// Of a container all of whose processes are where its environment has put them, by one of them.
Result<std::vector<ContainerCgroup>> cgroups_of_sandbox(HostPid process);

// Whether any cgroup lies below.
bool has_cgroups_below(const std::string& directory);

// The names of the cgroups right below, in order.
Result<std::vector<std::string>> cgroups_below(const std::string& directory);

}  // namespace martlet::engine
