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

std::set<dev_t> devices_of(const std::vector<Mount>& mounts) {
  std::set<dev_t> devices;
  for (const Mount& mount : mounts) devices.insert(mount.device);
  return devices;
}

// For each tmpfs the mounts that show most of it.
std::vector<Candidates> own_tmpfs_mounts(std::vector<Mount> mounts, const image::Mounts& changes,
                                         const std::set<dev_t>& of_others) {
  const std::set<std::string> changed = changed_points(changes);
  std::ranges::stable_sort(mounts, {}, [](const Mount& mount) { return mount.root.size(); });
  std::map<dev_t, Candidates> systems;
  for (Mount& mount : mounts) {
    if (mount.type != "tmpfs" || of_others.contains(mount.device) ||
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
Result<TmpfsMount> open_shown(const MountView& view, const Candidates& candidates) {
  for (const Mount& mount : candidates) {
    auto fd = open_bare_mount(view, mount.point);
    struct stat status{};
    if (fd && ::fstat(fd->get(), &status) == 0 && status.st_dev == mount.device)
      return TmpfsMount{mount, std::move(*fd)};
  }
  return fail(Code::kUnsupported, "another mount lies on top of this tmpfs");
}

}  // namespace

Result<std::vector<TmpfsMount>> open_own_tmpfs(HostPid root, const MountViews& views,
                                               const image::Mounts& changes) {
  std::vector<TmpfsMount> opened;
  auto of_others = devices_of(TRY(read_mounts(HostPid(::getpid()))));
  for (uint32_t number = 0; number < views.count(); ++number) {
    const MountView view = TRY(views.view(number));
    const std::vector<Mount> mounts = TRY(number == 0 ? read_mounts(root) : view.mounts());
    const image::Mounts& here =
        number == 0 ? changes : changes.namespaces(static_cast<int>(number - 1)).changes();
    for (const Candidates& candidates : own_tmpfs_mounts(mounts, here, of_others)) {
      opened.push_back(TRY_IN(open_shown(view, candidates), "tmpfs " + candidates.front().point));
      opened.back().mount_namespace = number;
    }
    of_others.merge(devices_of(mounts));
  }
  return opened;
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
