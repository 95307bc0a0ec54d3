// How single mounts behave: attributes and propagation, set by mount_setattr(2).
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::engine {

// The mount on top of this point in the calling thread's namespace.
Result<Fd> open_mount_point(const std::string& point);

// `flags` are MOUNT_ATTR_*; all that are not among them are off. kBadImage: there are others.
Result<void> set_mount_flags(const Fd& mount, uint64_t flags);
// MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE.
Result<void> set_mount_propagation(const Fd& mount, uint64_t type);

}  // namespace martlet::engine
