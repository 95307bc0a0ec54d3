// Interval timers (setitimer) and POSIX timers (timer_create) of a process.
#pragma once

#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/question.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

Answer ask_interval_timers(Program& program, image::Process& out);
// Starts them; so it comes late.
void apply_interval_timers(Program& program, const image::Process& process);

// Reads /proc/PID/timers for what exists and asks the process for the remaining times.
Result<Answer> ask_posix_timers(Program& program, const FrozenProcess& frozen, image::Process& out);
Result<void> apply_posix_timers(Task& leader, const image::Process& process);

}  // namespace martlet::engine
