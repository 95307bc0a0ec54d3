#include "engine/mounts/bare_mount.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace martlet::engine {

// open_tree() copies a mount only for a thread in the mount's own namespace.
Result<Fd> open_bare_mount(const MountView& view, const std::string& point) {
  Fd mount;
  TRY(view.run([&]() -> Result<void> {
    mount = Fd(static_cast<int>(
        ::syscall(SYS_open_tree, AT_FDCWD, point.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
    if (!mount.valid()) return fail_errno("open the mount " + point);
    return {};
  }));
  return mount;
}

Result<Fd> open_directory(const Fd& mount, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  Fd fd(static_cast<int>(::syscall(SYS_openat2, mount.get(), name, &how, sizeof how)));
  if (!fd.valid()) return fail_errno("open directory " + path);
  return fd;
}

}  // namespace martlet::engine
