// Queues of messages that are lost unless the program has read them before it is captured: nothing
// can put an event of inotify or a message of the kernel's netlink back.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/ids.h"

namespace martlet::engine {

class UnreadQueues {
 public:
  // Those of the processes below `root`, which run. What they open from now on is not among them.
  static UnreadQueues find(HostPid root);

  bool all_read() const;
  // With the group frozen: whether that holds for what was opened since, too. Of inotify it is not
  // looked for again.
  bool all_read_in(HostPid frozen_root);

 private:
  void add_table(HostPid holder);

  std::vector<Fd> queues_;  // duplicates
};

}  // namespace martlet::engine
