// Users, groups and capabilities of a thread.
#pragma once

#include "engine/task.h"
#include "engine/tasks/id_map.h"
#include "engine/tasks/question.h"
#include "image/tasks.pb.h"
#include "sys/procfs.h"

namespace martlet::engine {

// What the status tells, which is all but the secure bits.
void put_credentials(const sys::TaskStatus& status, image::Credentials& out);

// Those only the task itself tells.
Answer ask_credentials(Program& program, const sys::TaskStatus& status, image::Credentials& out);

// Users and groups alone; the task keeps its capabilities.
Result<void> take_users(Task& task, const image::Credentials& credentials);

// Last of all that needs rights. Verifies the outcome, since several of the calls say nothing when
// they have no effect. `view` is that of the task's user namespace, where it has taken those users
// and groups before that have no number there; null: that of the group.
Result<void> apply_credentials(Task& task, const image::Credentials& credentials,
                               const UserView* view);

}  // namespace martlet::engine
