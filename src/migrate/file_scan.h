// What is in a file tree, and what changed in it since a moment. Reads only.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace martlet::migrate {

struct TreeScan {
  uint64_t bytes = 0;  // allocated on disk
  uint64_t files = 0;
  // Regular files, relative to the tree, whose content or attributes may have changed since.
  std::vector<std::string> changed_files;
  bool changed = false;  // anything at all, also a name that appeared or vanished
};

// CLOCK_REALTIME as file systems stamp it, which runs in steps of a timer tick.
Nanoseconds file_time_now();

// `path` may be a file. Other file systems below it are not entered. `since` is a file_time_now()
// from before the moment of interest; every change at or after it is found by its ctime, apart from
// stores through a shared mapping, which leave none: `mapped` are the inodes that have one.
Result<TreeScan> scan_tree(const std::string& path, Nanoseconds since = Nanoseconds::max(),
                           const std::set<ino_t>& mapped = {});

}  // namespace martlet::migrate
