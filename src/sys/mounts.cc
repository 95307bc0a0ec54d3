#include "sys/mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>

namespace martlet::sys {
namespace {

// ':' separates lower directories, ',' options, and '\' escapes.
Result<void> expect_plain(const std::string& path) {
  if (path.find_first_of(":,\\") == std::string::npos) return {};
  return std::unexpected(
      Error(Code::kInvalidArgument, fmt::format("'{}' cannot be a layer of an overlay", path))
          .with_remedy("use a path without ':', ',' and '\\'"));
}

}  // namespace

Result<void> mount_overlay(const Overlay& overlay, const std::string& target) {
  for (const std::string& path : {overlay.lower, overlay.upper, overlay.work})
    TRY(expect_plain(path));
  const std::string layers =
      fmt::format("lowerdir={},upperdir={},workdir={}", overlay.lower, overlay.upper, overlay.work);
  const std::string with_handles = layers + ",index=on,nfs_export=on";
  if (mount("overlay", target.c_str(), "overlay", 0, with_handles.c_str()) == 0) return {};
  if (mount("overlay", target.c_str(), "overlay", 0, layers.c_str()) == 0) return {};
  return fail_errno(fmt::format("mount of an overlay over {} at {}", overlay.lower, target));
}

// The kernel forgets all unused names of a file system that is mounted anew, whatever its options.
Result<void> forget_names(const std::string& target) {
  if (!TRY(is_mount_point(target))) return {};
  if (mount(nullptr, target.c_str(), nullptr, MS_REMOUNT, nullptr) == 0) return {};
  return fail_errno("remount of " + target);
}

Result<bool> is_mount_point(const std::string& path) {
  struct statx status{};
  if (statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &status) != 0) {
    if (errno == ENOENT) return false;
    return fail_errno("stat of " + path);
  }
  return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<void> unmount(const std::string& target) {
  while (TRY(is_mount_point(target))) {
    if (umount2(target.c_str(), 0) == 0) continue;
    if (umount2(target.c_str(), MNT_DETACH) != 0) return fail_errno("unmount of " + target);
  }
  return {};
}

}  // namespace martlet::sys
