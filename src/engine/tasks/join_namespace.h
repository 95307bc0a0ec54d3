// How a stopped task enters a namespace that this process has.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "engine/files/descriptor_channel.h"
#include "engine/task.h"

namespace martlet::engine {

// `kind` is one of CLONE_NEW*; `what` names the call in an error.
Result<void> join_namespace(Task& task, const Fd& name_space, int kind, const char* what,
                            DescriptorChannel& channel);

}  // namespace martlet::engine
