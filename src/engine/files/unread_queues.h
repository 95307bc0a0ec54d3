// Queues that must be empty when the program is captured: nothing can put an event of inotify or a
// message of the kernel's netlink back, and connections that wait in a Unix listener can be read
// only where the kernel shows its memory (sys::UnixBacklog).
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/ids.h"

namespace martlet::engine {

class UnreadQueues {
 public:
  // Those of the processes below `root`, which run. What they open from now on is not among them.
  static UnreadQueues find(HostPid root);

  // How many descriptors the processes had.
  size_t descriptors() const { return descriptors_; }

  bool all_read() const;
  // With the group frozen: whether that holds for what was opened since, too. Of inotify and of
  // listeners it is not looked for again.
  bool all_read_in(HostPid frozen_root);

 private:
  void add_table(HostPid holder);

  size_t descriptors_ = 0;

  std::vector<Fd> queues_;  // duplicates
};

}  // namespace martlet::engine
