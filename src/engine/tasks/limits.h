// Resource limits, scheduling and the like: numbers that are read from outside.
#pragma once

#include "engine/task.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

// From /proc/PID/limits: prlimit(2) on another user's process takes more rights than needed.
Result<void> capture_limits(HostPid pid, image::Process& out);
Result<void> apply_limits(Task& leader, const image::Process& process);

Result<void> capture_scheduling(HostPid tid, image::Scheduling& out);
Result<void> apply_scheduling(HostPid tid, const image::Scheduling& scheduling);

}  // namespace martlet::engine
