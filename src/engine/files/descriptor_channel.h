// Sends descriptors of this process to tasks under restore.
//
// Every task holds the other end of one socket pair, inherited from the stub, under the same
// number. Tasks are served one at a time.
#pragma once

#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/task.h"

namespace martlet::engine {

class DescriptorChannel {
 public:
  // `control` is this side of the socket pair; tasks have the other side at descriptor `number`.
  DescriptorChannel(Fd control, int number) : control_(std::move(control)), number_(number) {}

  const Fd& control() const { return control_; }
  int number() const { return number_; }

  // The numbers under which the task got the descriptors: the lowest that were free, in order.
  Result<std::vector<int>> send(Task& task, std::span<const int> descriptors);

  // Moves the task's end to another number; every task forked later has it there.
  Result<void> move_to(Task& root, int number);
  // The same in every one of these tasks, which are all that there are, if it is not above
  // `descriptor` already.
  Result<void> move_above(std::span<Task* const> tasks, int descriptor);

 private:
  Result<void> receive_batch(Task& task, size_t count, std::vector<int>& numbers);
  Fd control_;
  int number_;
};

}  // namespace martlet::engine
