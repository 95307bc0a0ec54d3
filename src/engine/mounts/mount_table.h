// The mounts of a process, as /proc/PID/mountinfo lists them.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

struct Mount {
  uint64_t id = 0;    // as fdinfo has it
  dev_t device = 0;   // of the file system
  std::string root;   // the directory of the file system that is mounted
  std::string point;  // where, inside the process's root
  std::string type;   // "tmpfs", "overlay", ...
  bool read_only = false;
};

std::vector<Mount> parse_mounts(std::string_view mountinfo);
Result<std::vector<Mount>> read_mounts(HostPid process);

}  // namespace martlet::engine
