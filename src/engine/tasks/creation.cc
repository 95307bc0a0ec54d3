#include "engine/tasks/creation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <tuple>

#include "engine/tasks/last_pid.h"
#include "sys/descriptor_limit.h"
#include "sys/descriptor_passing.h"
#include "sys/procfs.h"
#include "sys/stop_wait.h"

extern "C" {
extern const std::byte martlet_stub_image[];
extern const std::byte martlet_stub_image_end[];
}

namespace martlet::engine {
namespace {

constexpr int kStubControl = 3;
constexpr int kStubDeadlineMs = 10'000;
// A number may be taken by others meanwhile, if the namespace is the host's.
constexpr int kMostTurns = 100;
// As blob/stub.c reads it.
struct ArenaNotice {
  uint64_t address;
  uint64_t code_size;
  uint64_t data_size;
};

Result<Fd> stub_file() {
  Fd file(::memfd_create("martlet-stub", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno("create stub file");
  TRY(write_full(file.get(), stub_image()));
  return file;
}

// Runs in the new process: only plain system calls.
[[noreturn]] void become_stub(int control, int program) {
  ::setsid();
  if (control == kStubControl)
    ::fcntl(control, F_SETFD, 0);
  else
    ::dup2(control, kStubControl);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  char* const no_strings[] = {nullptr};
  ::fexecve(program, no_strings, no_strings);
  ::_exit(127);
}

Result<void> send_arena(const Fd& control, const Arena& arena) {
  ArenaNotice notice{arena.code().value, kArenaCodeSize, arena.data_size()};
  std::array<int, 1> file = {arena.file().get()};
  TRY_IN(sys::send_descriptors(control, std::as_bytes(std::span(&notice, 1)), file),
         "reach the stub");
  pollfd ready{control.get(), POLLIN, 0};
  char answer = 0;
  if (::poll(&ready, 1, kStubDeadlineMs) != 1 || ::read(control.get(), &answer, 1) != 1)
    return fail(Code::kTimeout, "the stub does not answer");
  return {};
}

Result<Task> adopt_created(Task& creator, const PidNumbers& process, const PidNumbers& tid) {
  auto created = creator.take_created();
  if (created.size() != 1) return fail(Code::kSystem, "the new task did not report");
  auto tracee = sys::Tracee::adopt(created[0]);
  TRY(tracee.wait_until_still());
  return Task(std::move(tracee), process, tid, creator.arena());
}

Result<void> clone(Task& creator, clone_args arguments, const PidNumbers& tid) {
  Program program(creator.arena());
  std::array<int32_t, kMostPidNamespaces> wanted{};  // from the innermost outward
  for (size_t depth = 0; depth <= tid.depth(); ++depth)
    wanted[tid.depth() - depth] = tid.at(depth).value;
  arguments.set_tid = program.put_value(wanted).value;
  arguments.set_tid_size = tid.depth() + 1;
  program.call("create task", SYS_clone3, {program.put_value(arguments), sizeof arguments});
  auto outcome = creator.run(program);
  if (!outcome && outcome.error().error_number() == EEXIST)
    return std::unexpected(
        Error(Code::kAlreadyExists, fmt::format("PID {} is in use", tid.in_group.value))
            .with_remedy("end that process, or restore in a container with PIDs of its own"));
  return outcome;
}

Result<void> discard_pending(Task& task, int signal) {
  Program program(task.arena());
  uint64_t set = 1ull << (signal - 1);
  timespec now{0, 0};
  program.call("take signal", SYS_rt_sigtimedwait,
               {program.put_value(set), 0, program.put_value(now), sizeof set},
               Program::OnError::kGoOn);
  return task.run(program);
}

// The only way to end the first process of a PID namespace by a signal, and by this one alone.
Result<void> kill_from_outside(Task& task, int signal) {
  if (signal != SIGKILL)
    return fail(Code::kBadImage, "the first process of a PID namespace ended by a signal");
  if (::kill(task.host_pid().value, signal) != 0) return fail_errno("end a process");
  std::array<sys::Tracee*, 1> killed = {&task.tracee()};
  sys::reap_killed(killed);
  return {};
}

uint64_t flags_of(const image::Thread& thread) {
  uint64_t flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  if (!thread.has_own_files()) flags |= CLONE_FILES;
  if (!thread.has_own_directories()) flags |= CLONE_FS;
  return flags;
}

}  // namespace

std::span<const std::byte> stub_image() {
  return {martlet_stub_image, martlet_stub_image_end};
}

Result<Stub> start_stub(pid_t pid) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return fail_errno("create control socket");
  Fd ours(pair[0]);
  Fd theirs(pair[1]);
  Fd program = TRY(stub_file());
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  arguments.set_tid = reinterpret_cast<uint64_t>(&pid);
  arguments.set_tid_size = 1;
  long child = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child == 0) become_stub(theirs.get(), program.get());
  if (child < 0 && errno == EEXIST)
    return std::unexpected(Error(Code::kAlreadyExists, fmt::format("PID {} is in use", pid))
                               .with_remedy("end that process first"));
  if (child < 0) return fail_errno(fmt::format("create process {}", pid));
  return Stub{HostPid(static_cast<pid_t>(child)), std::move(ours)};
}

Result<Task> take_stub(const Stub& stub, NsPid pid, const Arena& arena, DescriptorChannel& channel,
                       int highest_fd) {
  TRY(send_arena(channel.control(), arena));
  auto tracee = TRY(sys::Tracee::seize(stub.pid, sys::Death::kKill));
  TRY(tracee.stop());
  sys::raise_descriptor_limit(stub.pid);  // it gets its own at the end
  Task task(std::move(tracee), {pid}, {pid}, arena);
  int number = std::max(highest_fd + 1, kStubControl + 2);
  TRY(channel.move_to(task, number));
  Program program(arena);
  program.call("close descriptors", SYS_close_range, {0, number - 1, 0});
  program.call("close descriptors", SYS_close_range, {number + 1, ~0u, 0});
  TRY(task.run(program));
  return task;
}

// A child of the same parent has its creator's exit signal.
Result<Task> fork_process(Task& creator, const image::Process& process) {
  clone_args arguments{};
  if (process.creator() != 0)
    arguments.flags |= CLONE_PARENT;
  else
    arguments.exit_signal = process.exit_signal();
  if (process.shares_files()) arguments.flags |= CLONE_FILES;
  if (process.shares_directories()) arguments.flags |= CLONE_FS;
  if (process.shares_memory()) arguments.flags |= CLONE_VM;
  if (process.shares_handlers()) arguments.flags |= CLONE_SIGHAND;
  if (starts_pid_namespace(process)) arguments.flags |= CLONE_NEWPID;
  const PidNumbers numbers = numbers_of(process);
  TRY(clone(creator, arguments, numbers));
  return adopt_created(creator, numbers, numbers);
}

Result<Task> create_thread(Task& creator, const image::Thread& thread) {
  clone_args arguments{};
  arguments.flags = flags_of(thread);
  const PidNumbers tid = numbers_of(thread);
  TRY(clone(creator, arguments, tid));
  return adopt_created(creator, creator.process_numbers(), tid);
}

Result<Task> create_thread_in_turn(Task& creator, const image::Thread& thread, NsPid last,
                                   HostPid root) {
  const NsPid tid(thread.tid());
  const LastPid kept;
  for (int turn = 0; turn < kMostTurns; ++turn) {
    if (turn > 0 || tid.value != last.value + 1) TRY(set_last_pid(root, NsPid(tid.value - 1)));
    Program program(creator.arena());
    clone_args arguments{};
    arguments.flags = flags_of(thread);
    auto created =
        program.call("create thread", SYS_clone3, {program.put_value(arguments), sizeof arguments});
    TRY(creator.run(program));
    const NsPid got(static_cast<pid_t>(program.result(created)));
    Task made = TRY(adopt_created(creator, creator.process_numbers(), {got}));
    if (got == tid) return made;
    Program end(creator.arena());
    end.call("end", SYS_exit, {0});
    TRY(made.run_to_end(end));
  }
  return std::unexpected(
      Error(Code::kAlreadyExists, fmt::format("thread {} cannot have its number, "
                                              "which another task has",
                                              tid.value))
          .with_remedy("try again when that has ended"));
}

Result<Task> create_stand_in(Task& parent, NsPid pid) {
  clone_args arguments{};
  arguments.flags = CLONE_VM;
  TRY(clone(parent, arguments, {pid}));
  return adopt_created(parent, {pid}, {pid});
}

Result<void> become_zombie(Task& child, Task& parent, const image::Process& process) {
  int status = process.exit_code();
  if (WIFSIGNALED(status) && starts_pid_namespace(process)) {
    TRY(kill_from_outside(child, WTERMSIG(status)));
    return discard_pending(parent, SIGCHLD);
  }
  Program program(child.arena());
  if (WIFSIGNALED(status)) {
    rlimit64 no_core{0, 0};
    program.call("forbid core dump", SYS_prlimit64,
                 {0, RLIMIT_CORE, program.put_value(no_core), 0});
    uint64_t nothing = 0;
    program.call("unblock", SYS_rt_sigprocmask,
                 {SIG_SETMASK, program.put_value(nothing), 0, sizeof nothing});
    program.call("end by signal", SYS_kill, {numbers_of(process).own().value, WTERMSIG(status)});
  } else {
    program.call("end", SYS_exit_group, {WEXITSTATUS(status)});
  }
  TRY(child.run_to_end(program));
  // The notice of its end was seen, or not, by the process that was captured; either way it is part
  // of the captured pending signals.
  return discard_pending(parent, SIGCHLD);
}

// Whoever traces it would be told of its end, which its parent waits for, only with that of its
// process.
Result<void> end_leader(Task& leader, int status) {
  const HostPid tid = leader.host_pid();
  Program program(leader.arena());
  program.call("end", SYS_exit, {WEXITSTATUS(status)});
  TRY(leader.let_go_with(program));
  for (sys::StopWait wait; wait.waited() < sys::kStopDeadline; wait.pause())
    if (TRY(sys::read_status(tid)).state == 'Z') return {};
  return fail(Code::kTimeout, "the main thread does not end");
}

Result<void> reap_child(Task& parent, const PidNumbers& child, int exit_signal) {
  const NsPid number = child.at(parent.numbers().depth());
  TRY(parent.call("reap", SYS_wait4, {number.value, 0, __WALL, 0}));
  if (exit_signal == 0) return {};
  return discard_pending(parent, exit_signal);
}

Result<void> drop_arena(Task& leader) {
  constexpr std::array kInstruction = {std::byte{0x0f}, std::byte{0x05}};
  auto code = interpreter_code();
  auto found = std::ranges::search(code, kInstruction);
  auto offset = static_cast<uint64_t>(found.begin() - code.begin());
  TRY(leader.call_at(leader.arena().code() + offset, TargetAddr(), SYS_munmap,
                     {leader.arena().code().value, leader.arena().total_size()}));
  return {};
}

}  // namespace martlet::engine
