// Controlling terminals of sessions: those whose master is in the group.
#pragma once

#include <vector>

#include "engine/context.h"
#include "engine/files/descriptor_channel.h"
#include "engine/tasks/frozen.h"
#include "image/group.pb.h"

namespace martlet::engine {

// Finds the sessions of the group's terminals, and which processes have one. The tree's processes
// are those that were frozen, in the same order. Errors: kUnsupported for a session elsewhere.
Result<void> describe_terminals(CaptureContext& context,
                                const std::vector<FrozenProcess>& processes, image::Tree& tree);

// The leader of the session takes its terminal, before it forks those who inherit it. Descriptions
// of /dev/tty are made there, too.
Result<void> take_terminal(ApplyContext& context, DescriptorChannel& channel, Task& leader,
                           const image::ControllingTerminal& terminal);
// One that inherited the terminal and shall not have it.
Result<void> leave_terminal(Task& task);
// When everybody has joined its process group.
Result<void> set_foreground_group(ApplyContext& context, DescriptorChannel& channel, Task& leader,
                                  const image::ControllingTerminal& terminal, NsPid number);

}  // namespace martlet::engine
