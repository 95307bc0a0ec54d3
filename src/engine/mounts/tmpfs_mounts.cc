#include "engine/mounts/tmpfs_mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "engine/mounts/attributes.h"
#include "engine/mounts/bare_mount.h"

namespace martlet::engine {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// What the container has made read-only holds what it wrote before.
std::set<std::string> changed_points(const image::Mounts& changes) {
  std::set<std::string> points;
  for (const image::OwnMount& own : changes.own()) points.insert(own.point());
  for (const image::ChangedMount& changed : changes.changed()) points.insert(changed.point());
  return points;
}

using Candidates = std::vector<Mount>;  // mounts of one tmpfs that show as much of it

// For each tmpfs of the group the mounts that show most of it.
Result<std::vector<Candidates>> own_tmpfs_mounts(HostPid root, const image::Mounts& changes) {
  std::set<dev_t> of_host;
  for (const Mount& mount : TRY(read_mounts(HostPid(::getpid())))) of_host.insert(mount.device);
  const std::set<std::string> changed = changed_points(changes);
  std::vector<Mount> mounts = TRY(read_mounts(root));
  std::ranges::stable_sort(mounts, {}, [](const Mount& mount) { return mount.root.size(); });
  std::map<dev_t, Candidates> systems;
  for (Mount& mount : mounts) {
    if (mount.type != "tmpfs" || of_host.contains(mount.device) ||
        (mount.read_only && !changed.contains(mount.point)))
      continue;
    Candidates& same = systems[mount.device];
    if (same.empty() || same.front().root == mount.root) same.push_back(std::move(mount));
  }
  std::vector<Candidates> all;
  for (auto& [device, candidates] : systems) all.push_back(std::move(candidates));
  return all;
}

// Opens the first that no other mount hides.
Result<TmpfsMount> open_shown(HostPid root, const Candidates& candidates) {
  for (const Mount& mount : candidates) {
    auto fd = open_bare_mount(root, mount.point);
    struct stat status{};
    if (fd && ::fstat(fd->get(), &status) == 0 && status.st_dev == mount.device)
      return TmpfsMount{mount, std::move(*fd)};
  }
  return fail(Code::kUnsupported, "another mount lies on top of this tmpfs");
}

}  // namespace

Result<std::vector<TmpfsMount>> open_own_tmpfs(HostPid root, const image::Mounts& changes) {
  std::vector<TmpfsMount> mounts;
  for (const Candidates& candidates : TRY(own_tmpfs_mounts(root, changes)))
    mounts.push_back(TRY_IN(open_shown(root, candidates), "tmpfs " + candidates.front().point));
  return mounts;
}

Result<std::vector<std::string>> list_names(const Fd& directory) {
  Fd copy = TRY(directory.duplicate());
  std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(copy.get()));
  if (!stream) return fail_errno("list a directory");
  copy.release();  // the stream closes it
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  return names;
}

std::string join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

Result<Fd> open_tmpfs_file(const Fd& mount, const std::string& path) {
  Fd directory = TRY(open_directory(mount, parent_of(path)));
  Fd file(::openat(directory.get(), name_of(path).c_str(),
                   O_RDONLY | O_NOFOLLOW | O_NOATIME | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return fail_errno("open");
  return file;
}

}  // namespace martlet::engine
