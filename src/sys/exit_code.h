// How a process ended.
#pragma once

#include <optional>

#include "base/fd.h"
#include "base/ids.h"

namespace martlet::sys {

// The exit code in what wait(2) tells: the process's own, or 128 + signal.
int exit_code_of(int wait_status);

// The exit code of a process that is not a child of this one and has ended (its pidfd is readable):
// its own, or 128 + signal. Absent where the kernel does not tell (before Linux 6.15, once its
// parent has collected it).
std::optional<int> exit_code_of(HostPid pid, const Fd& pidfd);

// How a process ended that its parent has collected, as wait(2) encodes it. Absent before Linux
// 6.15.
std::optional<int> collected_status_of(int pidfd);

}  // namespace martlet::sys
