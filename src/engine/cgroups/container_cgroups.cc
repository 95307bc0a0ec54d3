#include "engine/cgroups/container_cgroups.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "base/fd.h"
#include "sys/cgroup.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

bool is_directory(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::vector<ContainerCgroup> with_path(const std::vector<sys::CgroupHierarchy>& hierarchies,
                                       const std::string& path) {
  std::vector<ContainerCgroup> found;
  for (const sys::CgroupHierarchy& hierarchy : hierarchies)
    if (is_directory(hierarchy.mount + path))
      found.push_back({hierarchy.name, hierarchy.mount + path, path});
  return found;
}

}  // namespace

std::string directory_of(const ContainerCgroup& base, const std::string& path) {
  return path.empty() ? base.directory : base.directory + "/" + path;
}

bool is_cgroup_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

bool is_cgroup_path(std::string_view path) {
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    if (!is_cgroup_name(name) || name.size() + 1 == path.size()) return false;
    path.remove_prefix(std::min(name.size() + 1, path.size()));
  }
  return true;
}

Result<std::vector<ContainerCgroup>> cgroups_of_container(const std::string& freezer_cgroup) {
  if (freezer_cgroup.empty()) return std::vector<ContainerCgroup>();
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  if (!freezer_cgroup.starts_with(layout.freezer + "/")) return std::vector<ContainerCgroup>();
  return with_path(TRY(sys::list_hierarchies()), freezer_cgroup.substr(layout.freezer.size()));
}

Result<std::vector<ContainerCgroup>> cgroups_of_sandbox(HostPid process) {
  const std::string groups = TRY(read_file(sys::proc_path(process, "cgroup")));
  const sys::CgroupLayout layout = TRY(sys::detect_cgroups());
  const std::string path = sys::cgroup_path(groups, layout.unified ? "" : "freezer");
  if (path.empty() || path == "/")
    return fail(Code::kUnsupported, "the container has no cgroup of its own here");
  return with_path(TRY(sys::list_hierarchies()), path);
}

// A cgroup's link count is two and one for each below.
bool has_cgroups_below(const std::string& directory) {
  struct stat status{};
  return ::stat(directory.c_str(), &status) == 0 && status.st_nlink > 2;
}

Result<std::vector<std::string>> cgroups_below(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->is_directory(error)) names.push_back(entry->path().filename());
  if (error) return std::unexpected(Error::from_errno(error.value(), "list " + directory));
  std::ranges::sort(names);
  return names;
}

}  // namespace martlet::engine
