// A stopped task that can be made to perform system calls.
//
// Used while capturing (the registers, mask and arena are put back by Injection) and while
// restoring (the task is a stub that becomes the process). Bound to the tracing thread.
#pragma once

#include <functional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/arena.h"
#include "engine/program.h"
#include "engine/tasks/pid_numbers.h"
#include "sys/tracee.h"

namespace martlet::engine {

// Ends every program. It is ignored by default, so that a task whose tracer died is not hurt by it.
inline constexpr int kDefaultDoneSignal = SIGURG;

class Task {
 public:
  Task(sys::Tracee tracee, PidNumbers process, PidNumbers tid, const Arena& arena)
      : tracee_(std::move(tracee)),
        process_(std::move(process)),
        tid_(std::move(tid)),
        arena_(&arena) {}

  HostPid host_pid() const { return tracee_.tid(); }
  NsPid process() const { return process_.in_group; }
  NsPid tid() const { return tid_.in_group; }
  // What its calls have to name it by is the last of these.
  const PidNumbers& process_numbers() const { return process_; }
  const PidNumbers& numbers() const { return tid_; }
  sys::Tracee& tracee() { return tracee_; }
  const Arena& arena() const { return *arena_; }
  void set_done_signal(int signal) { done_signal_ = signal; }
  // Where the task returns through if this process dies while a program runs (return_frame.h).
  // Without one the task is killed then.
  void set_return_frame(TargetAddr frame) { return_frame_ = frame; }

  // Performs the program. On the first call that fails (and is not marked kGoOn) the rest is left
  // out and its error returned; results of the calls before are valid.
  Result<void> run(Program& program) { return run(program, {}); }
  // `meanwhile` is called while the program, which has a pause, is at it; after an error of its own
  // the program is performed to its end all the same.
  Result<void> run(Program& program, const std::function<Result<void>()>& meanwhile);

  // Performs a program that ends the task, and waits until it has ended.
  Result<void> run_to_end(const Program& program);

  // Performs a program that ends the task, which nobody traces any more, and does not wait for it.
  Result<void> let_go_with(const Program& program);

  // One system call by itself; returns what the kernel returned if that is no error.
  Result<long> call(const char* what, long number, std::initializer_list<Program::Argument> args);

  // Tasks that the programs run so far have created, in order; each waits in its first stop.
  std::vector<HostPid> take_created() { return std::exchange(created_, {}); }

  // Performs one call with the instruction pointer at a `syscall` instruction and no arena. `stack`
  // is the stack pointer behind it (way_back.h); zero: as it is.
  Result<long> call_at(TargetAddr syscall_instruction, TargetAddr stack, long number,
                       std::initializer_list<uint64_t> arguments);

 private:
  Result<void> load(const Program& program);
  Result<void> start(const Program& program);
  Result<void> wait_until_done();
  Result<void> take_pause(Program& program, const std::function<Result<void>()>& meanwhile);

  sys::Tracee tracee_;
  PidNumbers process_;
  PidNumbers tid_;
  const Arena* arena_;
  int done_signal_ = kDefaultDoneSignal;
  TargetAddr return_frame_;
  std::vector<HostPid> created_;
};

}  // namespace martlet::engine
