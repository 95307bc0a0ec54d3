// A rebuilt process that is to run while pages of it are missing.
#pragma once

#include "base/result.h"
#include "engine/memory/ranges.h"
#include "engine/task.h"
#include "image/memory.pb.h"
#include "sys/userfaultfd.h"

namespace martlet::engine {

// Made by the task while it has its privileges; it keeps no descriptor.
Result<sys::Userfaultfd> make_missing_handler(Task& leader);

// From here on whoever touches a missing page waits. The last step before the process is let go: of
// the missing pages, none may be there already, or it would be taken for one that came.
Result<void> catch_missing_pages(const sys::Userfaultfd& userfaultfd, HostPid pid,
                                 const image::AddressSpace& space, const Ranges& missing);

// Whether missing pages may be in `range`: it lies in one private anonymous mapping.
bool may_be_missing(const image::AddressSpace& space, sys::Range range);

}  // namespace martlet::engine
