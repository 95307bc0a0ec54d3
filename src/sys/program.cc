#include "sys/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sys/exit_code.h"
#include "sys/pidfd.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace martlet::sys {
namespace {

// Everything the child needs, laid out before fork(), after which it must not allocate.
struct Prepared {
  std::vector<char*> argv;
  std::string offsets;  // text for timens_offsets; empty: no new namespace
  int time_namespace = -1;
  int dev_null = -1;
  int report = -1;  // where the child writes the errno and the step that failed
  std::vector<PassedDescriptor> descriptors;  // every child number below the count once, ascending
};

struct Failure {
  int error_number;
  char step[32];
};

[[noreturn]] void report_and_exit(const Prepared& prepared, const char* step) {
  Failure failure{errno, {}};
  strncpy(failure.step, step, sizeof failure.step - 1);
  (void)!write(prepared.report, &failure, sizeof failure);
  _exit(127);
}

void enter_time_namespace(const Prepared& prepared) {
  if (prepared.time_namespace >= 0) {
    if (setns(prepared.time_namespace, CLONE_NEWTIME) != 0) report_and_exit(prepared, "setns");
    return;
  }
  if (prepared.offsets.empty()) return;
  if (unshare(CLONE_NEWTIME) != 0) report_and_exit(prepared, "unshare of the time namespace");
  const int file = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
  const ssize_t size = static_cast<ssize_t>(prepared.offsets.size());
  if (file < 0 || write(file, prepared.offsets.data(), prepared.offsets.size()) != size)
    report_and_exit(prepared, "write of timens_offsets");
  close(file);
  // A new time namespace holds the children of the process that made it, not that process. So the
  // program is a child, and this process stays as its shadow: it ends as the program ends.
  const pid_t program = fork();
  if (program < 0) report_and_exit(prepared, "fork");
  if (program == 0) return;
  close_range(0, ~0U, 0);
  int status = 0;
  while (waitpid(program, &status, 0) < 0 && errno == EINTR) {
  }
  _exit(exit_code_of(status));
}

void place_descriptors(Prepared& prepared) {
  const int count = static_cast<int>(prepared.descriptors.size());
  // All are first moved above the numbers to be filled, so that no source is overwritten.
  constexpr int kMost = 64;
  int moved[kMost];
  for (int i = 0; i < count; i++) {
    moved[i] = fcntl(prepared.descriptors[i].fd, F_DUPFD_CLOEXEC, kMost);
    if (moved[i] < 0) report_and_exit(prepared, "dup of a descriptor");
  }
  prepared.report = fcntl(prepared.report, F_DUPFD_CLOEXEC, kMost);
  for (int i = 0; i < count; i++) {
    if (dup2(moved[i], prepared.descriptors[i].number) < 0) report_and_exit(prepared, "dup2");
  }
  close_range(count, ~0U, CLOSE_RANGE_CLOEXEC);
}

[[noreturn]] void run_child(Prepared& prepared) {
  setpgid(0, 0);  // a kill of the group reaches the program and its shadow
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  enter_time_namespace(prepared);
  place_descriptors(prepared);
  execvp(prepared.argv[0], prepared.argv.data());
  report_and_exit(prepared, "exec");
}

Result<Prepared> prepare(const Program& program, int dev_null, int report) {
  Prepared prepared;
  for (const std::string& argument : program.args)
    prepared.argv.push_back(const_cast<char*>(argument.c_str()));
  prepared.argv.push_back(nullptr);
  if (program.new_time_namespace)
    prepared.offsets = format_clock_offsets(*program.new_time_namespace);
  prepared.time_namespace = program.time_namespace.get();
  prepared.report = report;
  int count = 3;
  for (const PassedDescriptor& passed : program.descriptors)
    count = std::max(count, passed.number + 1);
  if (count > 32) return fail(Code::kInvalidArgument, "too many descriptors for a program");
  for (int number = 0; number < count; number++) prepared.descriptors.push_back({dev_null, number});
  for (const PassedDescriptor& passed : program.descriptors)
    prepared.descriptors[static_cast<size_t>(passed.number)].fd = passed.fd;
  return prepared;
}

}  // namespace

RunningProgram::RunningProgram(RunningProgram&& other) noexcept
    : pid_(std::exchange(other.pid_, HostPid())), pidfd_(std::move(other.pidfd_)) {}

RunningProgram::~RunningProgram() {
  if (pid_ == HostPid()) return;
  kill(-pid_.value, SIGKILL);
  while (waitpid(pid_.value, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<int> RunningProgram::wait(Nanoseconds timeout) {
  pollfd ended{pidfd_.get(), POLLIN, 0};
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
  const int ready = poll(&ended, 1, static_cast<int>(milliseconds));
  if (ready < 0 && errno != EINTR) return fail_errno("poll of a pidfd");
  if (ready <= 0) return fail(Code::kTimeout, "the program still runs at the deadline");
  int status = 0;
  if (waitpid(pid_.value, &status, 0) < 0) return fail_errno("waitpid");
  pid_ = HostPid();
  return exit_code_of(status);
}

Result<RunningProgram> start_program(const Program& program) {
  const Fd dev_null = TRY(open_file("/dev/null", O_RDWR));
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  const Fd failure_end(ends[0]);
  Fd report_end(ends[1]);
  Prepared prepared = TRY(prepare(program, dev_null.get(), report_end.get()));

  const pid_t child = fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) run_child(prepared);
  report_end.reset();
  RunningProgram running(HostPid(child), TRY(open_pidfd(HostPid(child))));

  Failure failure{};
  const size_t got =
      TRY(read_full(failure_end.get(), std::as_writable_bytes(std::span(&failure, 1))));
  if (got == sizeof failure)
    return std::unexpected(Error::from_errno(
        failure.error_number, fmt::format("{} ({})", program.args.at(0), failure.step)));
  return running;
}

Result<int> run_program(const Program& program, Nanoseconds timeout) {
  RunningProgram running = TRY(start_program(program));
  return in_context(running.wait(timeout), program.args.at(0));
}

}  // namespace martlet::sys
