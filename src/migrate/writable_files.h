// Files that processes can change without an event: those that are mapped shared and writable, and
// those that are open for writing and changed since a moment (Linux's native AIO raises no event).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "sys/file_handle.h"

namespace martlet::migrate {

struct WritableFiles {
  // As the kernel prints them, without the leading '/'; not all are of the container's tree.
  std::set<std::string> paths;
  // Files that lost the name by which they were opened, and have another one.
  std::vector<sys::FileHandle> nameless;
};

// A process that ends meanwhile is left out: its files are closed, and that is an event.
void find_mapped_files(const std::vector<HostPid>& processes, WritableFiles& found);
// `since` is a file_time_now().
void find_open_files(const std::vector<HostPid>& processes, Nanoseconds since,
                     WritableFiles& found);

}  // namespace martlet::migrate
