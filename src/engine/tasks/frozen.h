// Processes that stand still under ptrace, and the freezing of a whole group.
#pragma once

#include <sys/user.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/tasks/pid_numbers.h"
#include "sys/procfs.h"
#include "sys/tracee.h"

namespace martlet::engine {

// A stopped thread and the state it goes on with.
struct FrozenThread {
  sys::Tracee tracee;
  NsPid tid;
  std::vector<NsPid> inner_tids{};
  sys::TaskStatus status;
  user_regs_struct registers{};  // as the thread continues, interrupted system calls adjusted
  uint64_t signal_mask = 0;
  bool group_stopped = false;  // job control
  bool instrumented = false;   // it has performed system calls for Martlet
  // How it is made again: by which thread, the leader unless another is named, and what of a
  // thread's it has for itself.
  NsPid creator;
  bool own_files = false;
  bool own_directories = false;

  PidNumbers numbers() const { return {tid, inner_tids}; }
};

// Where in a mapping of the C library there is what a thread may return through (way_back.h): by
// the mapping's device, inode and offset.
struct ReturnCode {
  uint64_t call_and_return;
  uint64_t return_from_signal;
};
using ReturnCodes = std::map<std::tuple<uint64_t, uint64_t, uint64_t>, std::optional<ReturnCode>>;

// What PID namespaces below that of the group call the process, its group and its session, from the
// outermost inward; 0: it is not in that namespace.
struct InnerNumbers {
  std::vector<NsPid> pids;
  std::vector<NsPid> groups;
  std::vector<NsPid> sessions;
  NsPid first;  // the process that is the first in its namespace; 0: it is not of the group
  bool is_first() const { return !pids.empty() && pids.back().value == 1; }
};

// What is left of a main thread that has ended before others of its process.
struct EndedLeader {
  sys::TaskStatus status;
  int exit_code;  // as wait(2) encodes it
};

struct FrozenProcess {
  HostPid pid;
  HostPid living;  // see sys::living_thread()
  NsPid ns_pid;
  InnerNumbers inner;      // empty if it lives in the PID namespace of the group
  sys::TaskStatus status;  // as seen from the group
  sys::TaskStat stat;
  bool zombie = false;
  std::vector<FrozenThread> threads;  // those that live, the leader first; none for a zombie
  std::optional<EndedLeader> ended_leader;
  std::string other_namespace;  // see namespaces.h
  ino_t uts_namespace = 0;
  ino_t user_namespace = 0;
  ino_t network_namespace = 0;
  ino_t ipc_namespace = 0;
  ino_t mount_namespace = 0;
  ino_t pid_namespace = 0;
  ino_t children_pid_namespace = 0;  // 0: it has no process yet
  ino_t time_namespace = 0;
  ino_t children_time_namespace = 0;
  std::vector<sys::Vma> vmas;
  std::shared_ptr<ReturnCodes> return_codes;  // of the group, found when they are needed

  // Who acts for the process: its leader if that lives.
  FrozenThread& leader() { return threads.front(); }
  PidNumbers numbers() const { return {ns_pid, inner.pids}; }
};

// Stops every task of the tree below `root` (and, for a container, of its PID namespace). Processes
// come with parents before children. On failure everything goes on. `freezer_cgroup` may be empty;
// it is used against a group that creates tasks as fast as they can be stopped.
Result<std::vector<FrozenProcess>> freeze_processes(HostPid root, bool container,
                                                    const std::string& freezer_cgroup);

// Gives the thread the registers and the mask that it goes on with, in whatever stop it is: also if
// this process dies before it lets it go.
Result<void> load_own_state(FrozenThread& thread);

// Lets a process go on exactly where it stopped.
Result<void> thaw_process(FrozenProcess& process);
// All processes of a group.
Result<void> thaw_processes(std::vector<FrozenProcess>& processes);

// The same for a group that is stopped again soon. A wait that the kernel continues from its own
// notes does not tell the next stop any more which call it is; it is made once more instead.
Result<void> thaw_for_another_stop(std::vector<FrozenProcess>& processes);

// A process that job control has stopped runs for a moment when ptrace lets it go, before it stands
// still again. Waits for the end of that moment, which no process of its group may see.
void await_job_stop(HostPid pid);

// Brings a task from any ptrace stop into one from which the kernel restarts interrupted system
// calls and delivers signals when it is let go.
Result<void> settle(sys::Tracee& tracee);

// What a thread that was stopped inside a system call continues with. The stop itself makes some
// calls return EINTR that no stop should be visible in (epoll_wait, semop, sigtimedwait, ...), so
// they are made to run again, unless a signal is waiting to be delivered, which would have
// interrupted them anyway.
void adjust_interrupted_call(user_regs_struct& registers, const sys::TaskStatus& status);

// For a thread that the kernel would continue from its notes on an interrupted call (its
// restart_block): those do not travel, and they are lost once the thread performs another call. The
// call is made once more instead, with what is left of its timeout where the task's memory shows
// it.
void restart_from_arguments(user_regs_struct& registers);

// If the thread is inside a restartable sequence: the kernel forgets that as soon as the thread
// executes anything else, so the abort that a preemption entitles it to happens here.
Result<void> abort_restartable_sequence(FrozenThread& thread, HostPid pid);

}  // namespace martlet::engine
