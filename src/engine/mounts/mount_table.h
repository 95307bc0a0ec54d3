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
  uint64_t id = 0;  // as fdinfo has it
  uint64_t parent = 0;
  dev_t device = 0;    // of the file system
  std::string root;    // the directory of the file system that is mounted
  std::string point;   // where, inside the process's root
  std::string type;    // "tmpfs", "overlay", ...
  std::string name;    // what is said to be mounted, such as a device
  std::string system;  // options of the file system
  bool read_only = false;
  uint64_t attributes = 0;  // MOUNT_ATTR_*
  bool id_mapped = false;
  uint32_t shared_group = 0;  // 0: none
  uint32_t master_group = 0;
  bool unbindable = false;
};

std::vector<Mount> parse_mounts(std::string_view mountinfo);
Result<std::vector<Mount>> read_mounts(HostPid process);

// The mount among `mounts` that `mount` was or has become; null if there is none.
const Mount* find_same(const std::vector<Mount>& mounts, const Mount& mount);

// Whether `path` is `above` or below it; both are absolute.
bool is_at_or_below(std::string_view path, std::string_view above);
// What of `path`, which is at or below `above`, follows it, without the slash between them.
std::string rest_below(std::string_view path, std::string_view above);

}  // namespace martlet::engine
