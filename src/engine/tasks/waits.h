// Timed waits: how long a thread has been asleep in a system call with a relative timeout.
//
// The kernel keeps the end of such a wait to itself, and stopping the thread interrupts it. When
// the thread went to sleep is visible only before that: as the moment it last ran (se.exec_start of
// /proc/TID/sched). Where the kernel does not show it, the timeout starts anew.
#pragma once

#include <sys/user.h>

#include <optional>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

// A thread seen asleep in a call with a relative timeout.
struct TimedWait {
  uint64_t call = 0;
  uint64_t stack_pointer = 0;
  uint64_t instruction_pointer = 0;
  Nanoseconds since{};  // CLOCK_MONOTONIC
};

// Looks at a thread that is not stopped yet; nothing if it is not in such a call.
std::optional<TimedWait> find_timed_wait(HostPid tid);

// If the registers are still those of the wait, reduces the timeout that the call will be made with
// again by the time that has passed. A timeout in memory is written anew below the stack's red
// zone.
Result<void> shorten_wait(const TimedWait& wait, HostPid pid, user_regs_struct& registers);

}  // namespace martlet::engine
