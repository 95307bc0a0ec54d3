// Files that processes can change without an event: those that are mapped shared and writable, and
// those that are open for writing and changed since a moment (Linux's native AIO raises no event).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/ids.h"
#include "sys/file_handle.h"

namespace martlet::migrate {

struct WritableFiles {
  std::set<std::string> paths;  // without the leading '/'
  // Files that have a name, but not the one by which they were opened: it is gone, or leads through
  // a mount elsewhere.
  std::vector<sys::FileHandle> nameless;
};

// Only files of the file system of `root`, which shows the container's files without what is
// mounted over them.

// A process that ends meanwhile is left out: its files are closed, and that is an event.
void find_mapped_files(const std::vector<HostPid>& processes, const Fd& root, WritableFiles& found);
// `since` is a file_time_now().
void find_open_files(const std::vector<HostPid>& processes, const Fd& root, Nanoseconds since,
                     WritableFiles& found);
// The inodes of those that find_mapped_files() finds, of any file system.
std::set<ino_t> mapped_inodes(const std::vector<HostPid>& processes);

}  // namespace martlet::migrate
