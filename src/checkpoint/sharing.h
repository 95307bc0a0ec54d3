// What tasks of a group have in common without being threads of one process, and how they come to
// have it again: a task gets the descriptor table, the directories, the memory or the signal
// handlers of another when that creates it, and in no other way.
#pragma once

#include <optional>
#include <vector>

#include "engine/tasks/frozen.h"
#include "image/group.pb.h"

namespace martlet::checkpoint {

// How a process is made.
struct Birth {
  std::optional<size_t> creator;  // an elder child of its parent (CLONE_PARENT), or its parent
  bool shares_files = false;      // is born with what its creator has
  bool shares_directories = false;
  bool shares_memory = false;
  bool shares_handlers = false;
  bool leaves_files = false;  // has it for the sake of its children alone
  bool leaves_directories = false;

  bool shares() const { return shares_files || shares_directories || shares_memory; }
};

// Of each process, parents being before their children. The root, and who has ended, have no
// creator.
// Errors: kUnsupported for what no order of creation brings about.
Result<std::vector<Birth>> plan_births(const std::vector<engine::FrozenProcess>& processes);
void describe_births(const std::vector<Birth>& births, image::Tree& tree);

// Notes in the threads which of them creates which, and what each has for itself.
// Errors: kUnsupported for what a thread shares with another process.
Result<void> plan_threads(std::vector<engine::FrozenProcess>& processes);

// Whose address space the process has: its own place, or that of who was born with it first.
size_t memory_holder(const std::vector<Birth>& births, size_t process);

// Errors: kUnsupported for shared undo lists of semaphores, and for memory that is shared with the
// parent of the group.
Result<void> refuse_sharing(const std::vector<engine::FrozenProcess>& processes);

}  // namespace martlet::checkpoint
