// What stands in the way of a checkpoint or a move, told in advance.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/group.h"

namespace martlet::checkpoint {

struct GroupCheck {
  std::vector<std::string> blockers;  // a line for each object that is not supported
  CaptureStats stats;
  double frozen_seconds = 0;
};

// Freezes the group for as long as it takes to look at everything but memory, and lets it go on.
// Fails if it cannot be looked at; what cannot be frozen (a task traced by another, for instance)
// is a blocker, and then the only one that is told.
Result<GroupCheck> check_group(const GroupSpec& spec);

}  // namespace martlet::checkpoint
