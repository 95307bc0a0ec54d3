// Signal actions, alternate stacks and pending signals.
#pragma once

#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/question.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

Answer ask_signal_actions(Program& program, image::Process& out);
Result<void> apply_signal_actions(Task& leader, const image::Process& process);

Answer ask_alternate_stack(Program& program, image::Thread& out);
void apply_alternate_stack(Program& program, const image::Thread& thread);

// The queues of a process and of each of its threads, in order and with their payloads.
Result<void> capture_pending(FrozenProcess& process, image::Process& out);
// A signal that none of the process's queues holds, by which its tasks tell the end of a program:
// one that waits in a queue would tell it too early.
int unused_signal(const image::Process& process);

// The task must have every signal blocked, and its done signal must not be in the queue.
Result<void> apply_pending(Task& task, const image::Thread& thread);
Result<void> apply_process_pending(Task& leader, const image::Process& process);

}  // namespace martlet::engine
