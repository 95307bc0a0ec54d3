// POSIX timers that a thread has made on its own CPU time (CLOCK_THREAD_CPUTIME_ID). The kernel
// does not tell which thread that was, but the timer itself does: its rest becomes shorter as that
// thread works, and in no other way.
#pragma once

#include "base/result.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/injection.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

// Gives each such timer of a process with several threads the clock of its thread
// (pthread_getcpuclockid). The process's timers, threads and pending signals are known.
// Errors: kUnsupported if it is not certain which thread it is, or touching the timer would lose
// what waits of it.
Result<void> find_threads_of_timers(Injection& injection, FrozenProcess& frozen,
                                    image::Process& out);

}  // namespace martlet::engine
