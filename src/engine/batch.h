// Any number of calls in one task, in as many programs as they need.
//
//   Batch batch(task);
//   for (...) (*TRY(batch.room(1))).call("unmap", SYS_munmap, {start, size});
//   TRY(batch.finish());
//
// For calls whose results do not matter beyond their success.
#pragma once

#include <optional>

#include "engine/task.h"

namespace martlet::engine {

class Batch {
 public:
  explicit Batch(Task& task) : task_(task), program_(std::in_place, task.arena()) {}

  // A program with room for that many more calls and bytes of data; runs what has been gathered if
  // there is none left. Data put before is no longer addressable then.
  Result<Program*> room(size_t calls, size_t bytes = 0) {
    if (!program_->fits(calls, bytes)) TRY(finish());
    return &*program_;
  }

  Result<void> finish() {
    TRY(task_.run(*program_));
    program_.emplace(task_.arena());
    return {};
  }

 private:
  Task& task_;
  std::optional<Program> program_;
};

}  // namespace martlet::engine
