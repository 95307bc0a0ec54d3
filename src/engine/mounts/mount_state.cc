#include "engine/mounts/mount_state.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace martlet::engine {
namespace {

constexpr uint64_t kAttributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                 MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW;

Result<void> set_attributes(const Fd& mount, const mount_attr& attributes) {
  if (::syscall(SYS_mount_setattr, mount.get(), "", AT_EMPTY_PATH, &attributes,
                sizeof attributes) != 0)
    return fail_errno("set the attributes");
  return {};
}

}  // namespace

Result<Fd> open_mount_point(const std::string& point) {
  Fd mount(static_cast<int>(
      ::syscall(SYS_open_tree, AT_FDCWD, point.c_str(), OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW)));
  if (!mount.valid()) return fail_errno("open");
  return mount;
}

Result<void> set_mount_flags(const Fd& mount, uint64_t flags) {
  if ((flags & ~(kAttributes | MOUNT_ATTR__ATIME)) != 0)
    return fail(Code::kBadImage, "unknown attributes");
  mount_attr attributes{};
  attributes.attr_set = flags;
  attributes.attr_clr = kAttributes | MOUNT_ATTR__ATIME;
  return set_attributes(mount, attributes);
}

Result<void> set_mount_propagation(const Fd& mount, uint64_t type) {
  mount_attr attributes{};
  attributes.propagation = type;
  return set_attributes(mount, attributes);
}

}  // namespace martlet::engine
