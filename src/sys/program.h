// Starting other programs: exact descriptors, optionally in another time namespace, with a
// deadline.
//
// The child gets the descriptors named and no others; 0, 1 and 2 are /dev/null unless named. Safe
// to call from a process with threads: between fork and exec only system calls are made.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/ids.h"
#include "base/result.h"
#include "sys/time_namespace.h"

namespace martlet::sys {

struct PassedDescriptor {
  int fd;      // ours, borrowed until the program has started
  int number;  // the child's
};

struct Program {
  std::vector<std::string> args;  // args[0] is searched in PATH
  std::vector<PassedDescriptor> descriptors{};
  // Either: a new time namespace, or that of a process given by its /proc/PID/ns/time.
  std::optional<ClockOffsets> new_time_namespace{};
  Fd time_namespace{};
};

// A program that was started and has not been waited for. The destructor kills it and waits.
class RunningProgram {
 public:
  RunningProgram(RunningProgram&& other) noexcept;
  RunningProgram& operator=(RunningProgram&&) = delete;
  ~RunningProgram();

  HostPid pid() const { return pid_; }
  // Becomes readable when it has ended.
  const Fd& pidfd() const { return pidfd_; }
  // The exit code, 128 + signal for a signal. kTimeout: it goes on running.
  Result<int> wait(Nanoseconds timeout);
  // It goes on when this is destroyed.
  void let_go() { pid_ = HostPid(0); }

 private:
  friend Result<RunningProgram> start_program(const Program& program);
  RunningProgram(HostPid pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  HostPid pid_;  // 0 once it was waited for
  Fd pidfd_;
};

Result<RunningProgram> start_program(const Program& program);

// Starts and waits; the program is killed at the timeout. Returns the exit code.
Result<int> run_program(const Program& program, Nanoseconds timeout);

}  // namespace martlet::sys
