// A file system that belongs to a namespace of the calling thread (mqueue, sysfs), mounted nowhere.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace martlet::sys {

// Its root directory. ENODEV: the kernel has no such file system.
Result<Fd> open_detached(const char* type);

}  // namespace martlet::sys
