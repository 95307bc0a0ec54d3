// A mount without the mounts on top of it.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "engine/mounts/mount_view.h"

namespace martlet::engine {

// A copy, attached nowhere, of what is mounted at `point` in this view. Below it files show
// that other mounts cover. Errors: kNotFound if nothing is mounted there.
Result<Fd> open_bare_mount(const MountView& view, const std::string& point);

// Opens the directory `path` ("" is the mount's root); neither ".." nor symbolic links lead out.
// Nothing shows afterwards that it was listed.
Result<Fd> open_directory(const Fd& mount, const std::string& path);

}  // namespace martlet::engine
