// Which pages of a process may come after it runs again.
//
// Private anonymous memory of which there is much in a mapping. What the tasks need at once goes
// with the state: their stacks' tops, and the areas that the kernel reads or writes by itself while
// a task is built (restartable sequences, robust lists, the thread's own data). So do pages that a
// child of the process shares: the child gets them by its fork.
#pragma once

#include <utility>

#include "engine/memory/ranges.h"
#include "image/memory.pb.h"
#include "image/tasks.pb.h"

namespace martlet::checkpoint {

class LatePages {
 public:
  // `shared`: with children.
  explicit LatePages(engine::Ranges shared) : urgent_(std::move(shared)) {}

  // For each process that has the memory.
  void leave_out_used_by(const image::Process& process);

  static bool allowed_in(const image::Mapping& mapping);
  // Of the memory's own pages in such a mapping.
  engine::Ranges choose(const engine::Ranges& own) const;

 private:
  engine::Ranges urgent_;
};

}  // namespace martlet::checkpoint
