// The tmpfs mounts that belong to a group, and the files in them.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/mounts/mount_table.h"
#include "engine/mounts/mount_view.h"
#include "image/mounts.pb.h"

namespace martlet::engine {

struct TmpfsMount {
  Mount mount;
  Fd root;  // a copy of the mount, without what is mounted on top
  uint32_t mount_namespace = 0;
};

// For each tmpfs of the namespace of `root`, but those that the caller's has, the mount that shows
// most of it; then those that only other namespaces have. `changes` are those of the container's
// mounts. Errors: kUnsupported if other mounts lie on top of all that show a tmpfs.
Result<std::vector<TmpfsMount>> open_own_tmpfs(HostPid root, const MountViews& views,
                                               const image::Mounts& changes);

// The names in an open directory, without "." and "..".
Result<std::vector<std::string>> list_names(const Fd& directory);

// A path below the root of a mount, where "" is the root itself.
std::string join(const std::string& directory, const std::string& name);

// For reading. Nothing shows afterwards that it was opened.
Result<Fd> open_tmpfs_file(const Fd& mount, const std::string& path);

}  // namespace martlet::engine
