// What a capture leaves in a group when its process is killed: sockets that it silenced, an arena
// that it mapped. The kernel does the rest.
#pragma once

#include "checkpoint/group.h"

namespace martlet::checkpoint {

struct Mended {
  size_t sockets = 0;
  size_t arenas = 0;  // processes that had one
};

enum class Died {
  kJustNow,  // a task may be in the middle of a call that it makes for the capture
  kBefore,
};

// Puts it right. Nobody may be capturing the group, and its cgroup must not be frozen.
Result<Mended> mend_group(const GroupSpec& spec, Died died);

}  // namespace martlet::checkpoint
