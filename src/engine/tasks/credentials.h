// Users, groups and capabilities of a thread.
#pragma once

#include "engine/task.h"
#include "engine/tasks/question.h"
#include "image/tasks.pb.h"
#include "sys/procfs.h"

namespace martlet::engine {

// `status` tells most; the secure bits only the task itself.
Answer ask_credentials(Program& program, const sys::TaskStatus& status, image::Credentials& out);

// Last of all that needs rights. Verifies the outcome, since several of the calls say nothing when
// they have no effect.
Result<void> apply_credentials(Task& task, const image::Credentials& credentials);

}  // namespace martlet::engine
