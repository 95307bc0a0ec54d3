#include "engine/tasks/frozen.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <set>
#include <tuple>

#include "engine/tasks/waits.h"
#include "sys/cgroup.h"
#include "sys/pidfd.h"
#include "sys/stop_wait.h"
#include "sys/target_memory.h"

namespace martlet::engine {
namespace {

// Return values by which the kernel marks a call to be restarted; they never reach user space.
constexpr int kRestartSys = 512;
constexpr int kRestartNoInterrupt = 513;
constexpr int kRestartNoHandler = 514;
constexpr int kRestartBlock = 516;

constexpr int kSyscallInstructionSize = 2;
constexpr Nanoseconds kFreezerDeadline = std::chrono::seconds(10);
// A process that somebody kills or continues meanwhile never stands still.
constexpr Nanoseconds kJobStopDeadline = std::chrono::milliseconds(200);
// Nearly all tasks stop within microseconds.
constexpr Nanoseconds kPromptStop = std::chrono::milliseconds(2);
constexpr Nanoseconds kVforkDeadline = std::chrono::seconds(1);
constexpr Nanoseconds kJobStopPause = std::chrono::microseconds(50);

// Calls that a stop makes return EINTR although no signal handler runs (signal(7)).
bool stop_interrupts(uint64_t number) {
  constexpr auto kCalls = std::to_array<long>(
      {SYS_epoll_wait, SYS_epoll_pwait, 441 /* epoll_pwait2 */, SYS_semop, SYS_semtimedop,
       SYS_rt_sigtimedwait, SYS_io_getevents, 333 /* io_pgetevents */,
       // These only with a timeout set on the socket.
       SYS_read, SYS_readv, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_accept, SYS_accept4,
       SYS_write, SYS_writev, SYS_sendto, SYS_sendmsg, SYS_connect});
  return std::ranges::find(kCalls, static_cast<long>(number)) != kCalls.end();
}

// The thread makes the call that it was interrupted in once more.
void call_again(user_regs_struct& registers) {
  registers.rip -= kSyscallInstructionSize;
  registers.rax = registers.orig_rax;
  registers.orig_rax = ~0ull;
}

uint64_t deliverable(const sys::TaskStatus& status) {
  return (status.pending | status.shared_pending) & ~status.blocked;
}

// Whether the task stops or ends in this time. It is left to be waited for.
bool reports_within(HostPid tid, Nanoseconds deadline) {
  for (sys::StopWait wait;; wait.pause()) {
    siginfo_t info{};
    int events = WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL;
    bool asked = ::waitid(P_PID, static_cast<id_t>(tid.value), &info, events) == 0;
    if (!asked || info.si_pid != 0) return true;
    if (wait.waited() > deadline) return false;
  }
}

// Gathers and stops the tasks of a group.
class Freezer {
 public:
  Freezer(HostPid root, bool container, std::string cgroup)
      : root_(root), container_(container), cgroup_(std::move(cgroup)) {}
  ~Freezer() {
    std::ignore = thaw_cgroup();
    // First those that can be let go at once: another may wait for one of them.
    for (auto& [tid, thread] : threads_)
      if (thread.still) sys::Tracee let_go(std::move(thread.tracee));
  }

  Result<std::vector<FrozenProcess>> run() {
    TRY(stop_all());
    return assemble();
  }

 private:
  struct Seized {
    sys::Tracee tracee;
    HostPid pid;
    std::optional<TimedWait> wait;
    bool still = false;
    bool group_stopped = false;
    bool gone = false;
  };

  // A task that stands still creates no other, but one that was only told to stop may be about to.
  // So all that is known stands still before a listing that finds nothing new has found all.
  Result<void> stop_all() {
    constexpr int kMaxRounds = 1000;
    constexpr int kPatientRounds = 5;
    for (int round = 0; round < kMaxRounds; ++round) {
      if (round == kPatientRounds) TRY(freeze_cgroup());
      bool found_new = TRY(seize_all());
      if (cgroup_frozen_ && found_new) continue;
      if (!cgroup_frozen_ && !found_new) return refuse_strangers();
      TRY(thaw_cgroup());  // a task that the cgroup holds does not reach its ptrace stop
      TRY(wait_for_all());
    }
    return fail(Code::kTimeout, "the group creates tasks faster than they can be stopped");
  }

  Result<bool> seize_all() {
    bool found_new = false;
    processes_ = TRY(list_processes());
    for (HostPid pid : processes_) found_new |= TRY(seize_threads(pid));
    return found_new;
  }

  Result<void> freeze_cgroup() {
    if (cgroup_.empty()) return {};
    cgroup_frozen_ = true;
    return sys::freeze_cgroup(cgroup_, kFreezerDeadline);
  }

  Result<void> thaw_cgroup() {
    if (!std::exchange(cgroup_frozen_, false)) return {};
    return sys::thaw_cgroup(cgroup_, kFreezerDeadline);
  }

  Result<std::vector<HostPid>> list_processes() const {
    std::vector<HostPid> found = {root_};
    for (size_t i = 0; i < found.size(); ++i) {
      auto children = sys::list_children(found[i]);
      if (!children) {
        if (i == 0) return std::unexpected(children.error());
        continue;
      }
      found.insert(found.end(), children->begin(), children->end());
    }
    if (std::ranges::find(found, HostPid(::getpid())) != found.end())
      return fail(Code::kInvalidArgument,
                  fmt::format("martlet itself runs below process {}", root_.value));
    return found;
  }

  Result<void> refuse_strangers() const {
    if (!container_) return {};
    for (HostPid member : TRY(sys::list_namespace_processes(root_)))
      if (std::ranges::find(processes_, member) == processes_.end() && !is_below_root(member))
        return std::unexpected(
            Error(Code::kUnsupported,
                  fmt::format("process {} was started from outside the container", member.value))
                .with_remedy("end the running exec session first"));
    return {};
  }

  // A process that has been created since the tree was listed is, and so is one that has ended.
  bool is_below_root(HostPid pid) const {
    while (pid != root_) {
      auto status = sys::read_status(pid);
      if (!status) return true;
      if (status->parent.value <= 1) return false;
      pid = status->parent;
    }
    return true;
  }

  Result<bool> seize_threads(HostPid pid) {
    auto threads = sys::list_threads(pid);
    if (!threads) return false;  // it ended
    bool found_new = false;
    for (HostPid tid : *threads) {
      if (threads_.contains(tid) || zombies_.contains(tid)) continue;
      found_new |= TRY(seize_thread(pid, tid));
    }
    return found_new;
  }

  Result<bool> seize_thread(HostPid pid, HostPid tid) {
    auto wait = find_timed_wait(tid);
    auto tracee = sys::Tracee::seize(tid, sys::Death::kGoOn);
    if (!tracee) {
      if (tracee.error().code() == Code::kGone) return false;
      auto status = sys::read_status(tid);
      if (!status) return false;
      if (status->kernel_thread)
        return fail(Code::kInvalidArgument,
                    fmt::format("process {} is a kernel thread", pid.value));
      if (status->state == 'Z' || status->state == 'X') {
        zombies_.insert(tid);
        return true;
      }
      // A child of a seized task is attached by the kernel.
      if (status->tracer.value != ::gettid()) return std::unexpected(tracee.error());
      tracee = sys::Tracee::adopt(tid);
    }
    TRY(tracee->interrupt());
    threads_.emplace(tid, Seized{std::move(*tracee), pid, wait});
    return true;
  }

  // Who creates a task on its way to the stop adds to those to be waited for.
  Result<void> wait_for_all() {
    for (bool found = true; std::exchange(found, false);)
      for (auto& [tid, thread] : threads_) {
        found |= !thread.still;
        TRY(wait_for(tid, thread));
      }
    return {};
  }

  Result<void> wait_for(HostPid tid, Seized& thread) {
    const SystemClock clock;
    const Stopwatch watch(clock);
    while (!thread.still) {
      if (reports_within(tid, kPromptStop)) {
        TRY(take_report(thread));
        continue;
      }
      TRY(take_reports_of_others(tid));
      if (has_left_others(tid, thread)) break;
      TRY(finish_vfork(tid, thread));
      if (watch.elapsed() > sys::kStopDeadline)
        return fail(Code::kTimeout, "task " + to_string(tid) + " does not stop");
    }
    return {};
  }

  // The first process of a PID namespace ends after all others there, and of these ends their
  // tracer is told first, also of those that stood still already.
  Result<void> take_reports_of_others(HostPid tid) {
    for (auto& [other, thread] : threads_)
      if (other != tid && !thread.gone && reports_within(other, Nanoseconds(0)))
        TRY(take_report(thread));
    return {};
  }

  Result<void> take_report(Seized& thread) {
    auto reported = thread.tracee.wait();
    if (!reported) return unless_gone(thread, std::unexpected(std::move(reported.error())));
    sys::Stop stop = *reported;
    switch (stop.kind) {
      case sys::Stop::Kind::kInterrupt:
      case sys::Stop::Kind::kGroupStop: thread.still = true; break;
      case sys::Stop::Kind::kExited:
        thread.tracee.forget();
        thread.still = thread.gone = true;
        return {};
      case sys::Stop::Kind::kSignal: return unless_gone(thread, thread.tracee.resume(stop.signal));
      case sys::Stop::Kind::kClone:
        if (auto created = sys::read_status(stop.created))
          TRY(seize_thread(created->group_leader, stop.created));
        [[fallthrough]];
      case sys::Stop::Kind::kSyscall: return unless_gone(thread, thread.tracee.resume());
    }
    thread.group_stopped = stop.kind == sys::Stop::Kind::kGroupStop;
    return {};
  }

  // A main thread that ends on its way to the stop, and others of its process do not: its end is
  // not reported before theirs.
  static bool has_left_others(HostPid tid, Seized& thread) {
    auto status = sys::read_status(tid);
    if (tid != thread.pid || !status || status->state != 'Z') return false;
    if (reports_within(tid, Nanoseconds(0))) return false;
    thread.tracee.forget();
    return thread.still = thread.gone = true;
  }

  static Result<void> unless_gone(Seized& thread, Result<void> outcome) {
    if (outcome || outcome.error().code() != Code::kGone) return outcome;
    thread.still = thread.gone = true;
    return {};
  }

  // A thread in vfork does not stop before its child has executed a program or ended, and the child
  // may stand still already. So the child goes on until then.
  Result<void> finish_vfork(HostPid tid, const Seized& thread) {
    auto found = find_vfork_child(tid, thread);
    if (found == threads_.end()) return {};
    auto& [child_tid, child] = *found;
    TRY(wait_for(child_tid, child));
    if (child.gone) return {};
    TRY(child.tracee.resume());
    bool finished = reports_within(tid, kVforkDeadline);
    child.still = false;
    child.wait = find_timed_wait(child_tid);
    std::ignore = child.tracee.interrupt();  // unless it has ended
    TRY(wait_for(child_tid, child));
    if (finished) return {};
    return std::unexpected(
        Error(Code::kUnsupported,
              fmt::format("process {} waits in vfork for process {}, which has not executed a "
                          "program",
                          thread.pid.value, child.pid.value))
            .with_remedy("try again"));
  }

  std::map<HostPid, Seized>::iterator find_vfork_child(HostPid tid, const Seized& thread) {
    auto status = sys::read_status(tid);
    if (!status || status->state != 'D') return threads_.end();
    return std::ranges::find_if(threads_, [&](const auto& entry) {
      const auto& [child_tid, child] = entry;
      if (child.gone || child_tid != child.pid || child.pid == thread.pid) return false;
      auto of_child = sys::read_status(child_tid);
      if (!of_child || of_child->parent != thread.pid) return false;
      return sys::is_shared(tid, child.pid, sys::Shared::kMemory).value_or(false);
    });
  }

  // Takes the numbers that a task in a PID namespace further in has there off the others.
  std::vector<NsPid> take_inner(std::vector<NsPid>& numbers) {
    if (pid_levels_ == 0) pid_levels_ = numbers.size();  // the root comes first
    if (numbers.size() <= pid_levels_) return {};
    std::vector<NsPid> inner(numbers.begin() + static_cast<ptrdiff_t>(pid_levels_), numbers.end());
    numbers.resize(pid_levels_);
    return inner;
  }

  void take_status(FrozenProcess& process, sys::TaskStatus status) {
    process.status = std::move(status);
    process.inner.pids = take_inner(process.status.ns_tgids);
    take_inner(process.status.ns_tids);
    process.inner.groups = take_inner(process.status.ns_groups);
    process.inner.sessions = take_inner(process.status.ns_sessions);
  }

  static void find_first_processes(std::vector<FrozenProcess>& frozen) {
    std::map<std::string, NsPid> first;
    auto namespace_of = [](const FrozenProcess& process) {
      return sys::read_link(sys::proc_path(process.living, "ns/pid")).value_or("");
    };
    for (const FrozenProcess& process : frozen)
      if (process.inner.is_first()) first[namespace_of(process)] = process.ns_pid;
    for (FrozenProcess& process : frozen)
      if (!process.inner.pids.empty()) process.inner.first = first[namespace_of(process)];
  }

  Result<std::vector<FrozenProcess>> assemble() {
    std::vector<FrozenProcess> frozen;
    auto return_codes = std::make_shared<ReturnCodes>();
    for (HostPid pid : processes_) {
      FrozenProcess process;
      process.return_codes = return_codes;
      process.pid = process.living = pid;
      if (!TRY(look_at(process))) continue;  // ended before it was stopped
      process.ns_pid = process.status.ns_tgids.back();
      TRY(assemble_threads(process));
      if (process.threads.empty()) {
        if (!TRY(look_at(process))) continue;
        process.zombie = true;
      } else if (process.threads.front().tracee.tid() != pid) {
        TRY(note_ended_leader(process));
      }
      frozen.push_back(std::move(process));
    }
    find_first_processes(frozen);
    return frozen;
  }

  // Whether it is there.
  Result<bool> look_at(FrozenProcess& process) {
    auto status = sys::read_status(process.pid);
    if (!status || status->state == 'X') return false;
    take_status(process, std::move(*status));
    process.stat = TRY(sys::read_stat(process.pid));
    return true;
  }

  // The kernel shows what the process has by its other threads.
  Result<void> note_ended_leader(FrozenProcess& process) {
    if (container_ && process.pid == root_)
      return fail(Code::kUnsupported, "the main thread of the container's first process has ended");
    process.ended_leader = {std::move(process.status), process.stat.exit_code};
    process.living = process.threads.front().tracee.tid();
    const InnerNumbers inner = process.inner;
    take_status(process, process.threads.front().status);
    process.inner = inner;
    const sys::TaskStat of_leader = process.stat;
    process.stat = TRY(sys::read_stat(process.living));
    process.stat.exit_signal = of_leader.exit_signal;
    process.stat.start_ticks = of_leader.start_ticks;
    return {};
  }

  Result<void> assemble_threads(FrozenProcess& process) {
    auto tids = sys::list_threads(process.pid);
    if (!tids) return {};
    for (HostPid tid : *tids) {
      auto found = threads_.find(tid);
      if (found == threads_.end() || found->second.gone) continue;
      FrozenThread thread{.tracee = std::move(found->second.tracee),
                          .tid = {},
                          .status = TRY(sys::read_status(tid)),
                          .group_stopped = found->second.group_stopped,
                          .creator = {}};
      thread.inner_tids = take_inner(thread.status.ns_tids);
      thread.tid = thread.status.ns_tids.back();
      TRY(suspend_seccomp(thread));
      thread.registers = TRY(thread.tracee.registers());
      thread.signal_mask = TRY(thread.tracee.signal_mask());
      if (found->second.wait) TRY(shorten_wait(*found->second.wait, tid, thread.registers));
      adjust_interrupted_call(thread.registers, thread.status);
      TRY(abort_restartable_sequence(thread, tid));
      process.threads.push_back(std::move(thread));
    }
    auto leader = std::ranges::find(process.threads, process.pid,
                                    [](const FrozenThread& t) { return t.tracee.tid(); });
    if (leader != process.threads.end()) std::rotate(process.threads.begin(), leader, leader + 1);
    return {};
  }

  // The calls that a capture makes in the thread are none of its filters' business. They apply
  // again as soon as the thread is let go, or this process ends.
  static Result<void> suspend_seccomp(FrozenThread& thread) {
    if (thread.status.seccomp_mode == 0) return {};
    auto suspended = thread.tracee.suspend_seccomp(sys::Death::kGoOn);
    if (suspended || suspended.error().error_number() != EPERM) return suspended;
    return std::unexpected(
        Error(Code::kPermission,
              fmt::format("task {} has a seccomp filter, which cannot be suspended",
                          thread.tracee.tid().value))
            .with_remedy("run martlet with CAP_SYS_ADMIN and without a seccomp filter"));
  }

  HostPid root_;
  bool container_;
  std::string cgroup_;
  bool cgroup_frozen_ = false;
  std::vector<HostPid> processes_;
  std::map<HostPid, Seized> threads_;
  std::set<HostPid> zombies_;
  size_t pid_levels_ = 0;  // of the root
};

}  // namespace

Result<std::vector<FrozenProcess>> freeze_processes(HostPid root, bool container,
                                                    const std::string& freezer_cgroup) {
  return Freezer(root, container, freezer_cgroup).run();
}

Result<void> settle(sys::Tracee& tracee) {
  TRY(tracee.interrupt());
  TRY(tracee.resume());
  TRY(tracee.wait_until_still());
  return {};
}

Result<void> load_own_state(FrozenThread& thread) {
  user_regs_struct registers = thread.registers;
  if (thread.instrumented) restart_from_arguments(registers);
  // In this order: a thread that has made calls is on its way back (return_frame.h) until it has
  // its registers, and comes to the right ones with any mask.
  TRY(thread.tracee.set_signal_mask(thread.signal_mask));
  return thread.tracee.set_registers(registers);
}

namespace {

Result<void> let_go(FrozenThread& thread) {
  TRY(settle(thread.tracee));
  TRY(load_own_state(thread));
  return thread.tracee.detach();
}

}  // namespace

Result<void> thaw_process(FrozenProcess& process) {
  Result<void> outcome;
  for (FrozenThread& thread : process.threads) {
    auto done = let_go(thread);
    if (!done && done.error().code() != Code::kGone && outcome) outcome = std::move(done);
  }
  return outcome;
}

Result<void> thaw_processes(std::vector<FrozenProcess>& processes) {
  auto is_stopped = [](const FrozenProcess& process) {
    return !process.zombie && process.threads.front().group_stopped;
  };
  Result<void> outcome;
  auto thaw = [&](FrozenProcess& process) {
    auto thawed = thaw_process(process);
    if (!thawed && outcome) outcome = std::move(thawed);
  };
  for (FrozenProcess& process : processes)
    if (is_stopped(process)) thaw(process);
  for (const FrozenProcess& process : processes)
    if (is_stopped(process)) await_job_stop(process.living);
  for (FrozenProcess& process : processes)
    if (!is_stopped(process)) thaw(process);
  return outcome;
}

Result<void> thaw_for_another_stop(std::vector<FrozenProcess>& processes) {
  for (FrozenProcess& process : processes)
    for (FrozenThread& thread : process.threads) thread.instrumented = true;
  return thaw_processes(processes);
}

void await_job_stop(HostPid pid) {
  SystemClock clock;
  Nanoseconds give_up = clock.now() + kJobStopDeadline;
  while (clock.now() < give_up) {
    auto status = sys::read_status(pid);
    if (!status || status->state == 'T') return;
    clock.sleep_for(kJobStopPause);
  }
}

void adjust_interrupted_call(user_regs_struct& registers, const sys::TaskStatus& status) {
  auto number = static_cast<int64_t>(registers.orig_rax);
  if (number < 0 || deliverable(status) != 0) return;
  auto result = static_cast<int64_t>(registers.rax);
  bool again = result == -kRestartSys || result == -kRestartNoInterrupt ||
               result == -kRestartNoHandler ||
               (result == -EINTR && stop_interrupts(registers.orig_rax));
  if (again) call_again(registers);
}

void restart_from_arguments(user_regs_struct& registers) {
  if (static_cast<int64_t>(registers.orig_rax) < 0 ||
      static_cast<int64_t>(registers.rax) != -kRestartBlock)
    return;
  // nanosleep reports the remaining time through its last argument when it is interrupted.
  if (registers.orig_rax == SYS_nanosleep && registers.rsi != 0) registers.rdi = registers.rsi;
  if (registers.orig_rax == SYS_clock_nanosleep && registers.r10 != 0 &&
      (registers.rsi & TIMER_ABSTIME) == 0)
    registers.rdx = registers.r10;
  call_again(registers);
}

Result<void> abort_restartable_sequence(FrozenThread& thread, HostPid pid) {
  // struct rseq and struct rseq_cs of <linux/rseq.h>.
  constexpr uint64_t kDescriptorOffset = 8;
  struct Descriptor {
    uint32_t version;
    uint32_t flags;
    uint64_t start;
    uint64_t length;
    uint64_t abort;
  };
  auto area = thread.tracee.rseq();
  if (!area) return {};
  TargetAddr pointer(area->address + kDescriptorOffset);
  auto address = TRY(sys::read_value<uint64_t>(pid, pointer));
  if (address == 0) return {};
  auto descriptor = TRY(sys::read_value<Descriptor>(pid, TargetAddr(address)));
  if (thread.registers.rip - descriptor.start < descriptor.length) {
    thread.registers.rip = descriptor.abort;
    TRY(thread.tracee.set_registers(thread.registers));  // before the kernel's note of it goes
  }
  uint64_t none = 0;
  return sys::write_memory(pid, pointer, std::as_bytes(std::span(&none, 1)));
}

}  // namespace martlet::engine
