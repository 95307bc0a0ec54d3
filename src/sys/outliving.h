// Work that is done to its end even if this process is killed meanwhile: in a child process, which
// has nothing of this one's open but what it is given, and takes no signal meant for both.
//
// The child is forked from one thread of many. So what it runs takes no lock that another thread
// may have held (it logs nothing), and a deadline ends it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace martlet::sys {

// Runs `work` and returns what it returned. `kept` are the descriptors that it uses.
Result<std::string> run_outliving(std::span<const int> kept,
                                  const std::function<Result<std::string>()>& work);

// A child that waits for the end of this process, and then mends what that leaves behind.
class Guard {
 public:
  static Result<Guard> post(const std::function<void()>& mend);

  Guard(Guard&& other) noexcept
      : child_(std::exchange(other.child_, 0)), dismissal_(std::move(other.dismissal_)) {}
  Guard& operator=(Guard&&) = delete;
  ~Guard();  // nothing is left to mend: it is dismissed, and has ended

 private:
  Guard(pid_t child, Fd dismissal) : child_(child), dismissal_(std::move(dismissal)) {}
  pid_t child_;
  Fd dismissal_;  // one byte ends the child
};

}  // namespace martlet::sys
