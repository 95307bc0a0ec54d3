// What a thread has for itself beyond memory and files.
#pragma once

#include "engine/task.h"
#include "engine/tasks/frozen.h"
#include "engine/tasks/question.h"
#include "image/tasks.pb.h"

namespace martlet::engine {

// What can be read from outside.
Result<void> capture_thread(FrozenThread& frozen, image::Thread& out);
// What the thread has to tell itself.
std::vector<Answer> ask_thread(Program& program, const FrozenThread& frozen, image::Thread& out);

// Everything but credentials and registers.
Result<void> apply_thread(Task& task, const image::Thread& thread);
// The registers it will continue with; only the resumption may follow.
Result<void> load_registers(Task& task, const image::Thread& thread);

}  // namespace martlet::engine
