// The number that a PID namespace has given last; what comes next in it gets the next free one.
#pragma once

#include "base/ids.h"
#include "base/result.h"

namespace martlet::engine {

// Of the namespace that the process lives in. Reading takes no number there, nor in those above it
// as far as the group's, which is so many levels up.
Result<NsPid> read_last_pid(HostPid process, size_t depth);
Result<void> set_last_pid(HostPid process, NsPid last);

// What others in this process's PID namespace get next is in the end not lower than it was: they
// would take numbers that ended a short time ago.
class LastPid {
 public:
  LastPid();
  ~LastPid();
  LastPid(const LastPid&) = delete;
  LastPid& operator=(const LastPid&) = delete;

 private:
  int before_;
};

}  // namespace martlet::engine
