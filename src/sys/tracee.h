// One task under ptrace.
//
// A Tracee is seized without a signal (PTRACE_SEIZE, PTRACE_INTERRUPT) and belongs to the thread
// that seized it. Its destructor detaches, so the task goes on. If this thread dies, the kernel
// detaches (or kills, see Death).
#pragma once

#include <linux/filter.h>
#include <signal.h>
#include <sys/user.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace martlet::sys {

// What happens to the task if its tracer dies.
enum class Death { kGoOn, kKill };

// Why a task stopped.
struct Stop {
  enum class Kind { kInterrupt, kGroupStop, kSignal, kSyscall, kClone, kExited } kind;
  int signal = 0;       // kSignal, kGroupStop
  HostPid created;      // kClone: the new task
  int exit_status = 0;  // kExited: as wait(2) encodes it
};

inline constexpr Nanoseconds kStopDeadline = std::chrono::seconds(10);

class Tracee {
 public:
  // Errors: kGone (it ended), kPermission (traced by someone else, or not allowed).
  static Result<Tracee> seize(HostPid tid, Death death);
  // A task that the kernel attached by itself because its creator is traced.
  static Tracee adopt(HostPid tid) { return Tracee(tid); }

  Tracee(Tracee&& other) noexcept : tid_(std::exchange(other.tid_, HostPid())) {}
  Tracee& operator=(Tracee&& other) noexcept;
  ~Tracee();

  HostPid tid() const { return tid_; }

  // Of a task that was killed: whether it has ended. Then it is reaped and forgotten.
  bool reap_if_ended();

  Result<void> interrupt();
  // Waits for the next stop. kTimeout after the deadline, for a task that sleeps uninterruptibly.
  Result<Stop> wait(Nanoseconds deadline = kStopDeadline);
  // Interrupts and waits until the task stands still; a signal that arrives first is delivered.
  Result<Stop> stop();
  // The second half of stop(), for a task that interrupt() was already called for.
  Result<Stop> wait_until_still();

  Result<void> resume(int signal = 0);    // PTRACE_CONT
  Result<void> resume_to_syscall_stop();  // PTRACE_SYSCALL
  Result<void> set_death(Death death);
  // Until set_death(), or until it is let go: the task's system calls pass by its seccomp filters.
  // Only for a task that stands still. Errors: kPermission (needs CAP_SYS_ADMIN, and a caller that
  // has no filter itself).
  Result<void> suspend_seccomp(Death death);
  Result<void> detach(int signal = 0);
  // Forgets the task without detaching; it has ended.
  void forget() { tid_ = HostPid(); }

  Result<user_regs_struct> registers() const;
  Result<void> set_registers(const user_regs_struct& registers);
  Result<std::vector<std::byte>> extended_state() const;  // NT_X86_XSTATE
  Result<void> set_extended_state(std::span<const std::byte> state);
  Result<uint64_t> signal_mask() const;
  Result<void> set_signal_mask(uint64_t mask);

  enum class Queue { kThread, kProcess };
  Result<std::vector<siginfo_t>> pending_signals(Queue queue) const;

  // Number `index` of the task's seccomp filters, the oldest being 0; not set if it has no more.
  struct SeccompFilter {
    std::vector<sock_filter> code;
    uint64_t flags;  // SECCOMP_FILTER_FLAG_LOG or none
  };
  Result<std::optional<SeccompFilter>> seccomp_filter(uint64_t index) const;

  struct RseqArea {
    uint64_t address;
    uint32_t size;
    uint32_t signature;
    uint32_t flags;
  };
  // Not set if the task has none registered or the kernel cannot tell.
  std::optional<RseqArea> rseq() const;

 private:
  explicit Tracee(HostPid tid) : tid_(tid) {}
  HostPid tid_;
};

// Collects tasks that were sent SIGKILL, in whatever order they end: the init of a PID namespace
// ends after everything else there is reaped, and so does the last of its threads, whichever that
// is. One that does not end in time (a device keeps it) is forgotten; it will never execute its
// program again all the same.
void reap_killed(std::span<Tracee* const> tracees, Nanoseconds deadline = std::chrono::seconds(10));

}  // namespace martlet::sys
