#include "engine/tasks/last_pid.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "engine/context.h"
#include "engine/tasks/pid_numbers.h"
#include "sys/outliving.h"
#include "sys/procfs.h"

namespace martlet::engine {
namespace {

constexpr const char* kLastPid = "/proc/sys/kernel/ns_last_pid";

int read_here() {
  return std::atoi(read_file(kLastPid).value_or("").c_str());
}

Result<std::string> write_here(NsPid last) {
  TRY(write_file(kLastPid, std::to_string(last.value)));
  return std::string();
}

// As fork(), but the child is given its number in this many PID namespaces, which leaves the next
// ones as they are.
Result<pid_t> fork_with_free_number(size_t depth) {
  for (pid_t number = 2;; ++number) {
    std::array<pid_t, kMostPidNamespaces> wanted{};
    wanted.fill(number);
    clone_args arguments{};
    arguments.exit_signal = SIGCHLD;
    arguments.set_tid = reinterpret_cast<uint64_t>(wanted.data());
    arguments.set_tid_size = depth;
    const long child = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child >= 0) return static_cast<pid_t>(child);
    if (errno != EEXIST) return fail_errno("fork in a PID namespace");
  }
}

// In a child that has been forked from one thread of many.
[[noreturn]] void pass_last_pid(int to) {
  std::array<char, 32> text{};
  const int file = ::open(kLastPid, O_RDONLY | O_CLOEXEC);
  const ssize_t size = ::read(file, text.data(), text.size() - 1);
  ::_exit(size > 0 && ::write(to, text.data(), static_cast<size_t>(size)) == size ? 0 : 1);
}

}  // namespace

Result<NsPid> read_last_pid(HostPid process, size_t depth) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("create a pipe");
  const Fd reader(ends[0]);
  const Fd writer(ends[1]);
  std::array<char, 32> text{};
  TRY(run_in_namespace(process, "pid", [&]() -> Result<void> {
    const pid_t child = TRY(fork_with_free_number(depth));
    if (child == 0) pass_last_pid(writer.get());
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return fail_errno("wait for a child");
    if (status != 0 || ::read(reader.get(), text.data(), text.size() - 1) <= 0)
      return fail(Code::kSystem, "read the last number of a PID namespace");
    return {};
  }));
  return NsPid(std::atoi(text.data()));
}

// The number is that of the namespace of who writes. Who enters one is not in it, but its children
// are.
Result<void> set_last_pid(HostPid process, NsPid last) {
  auto write = [&]() -> Result<void> {
    TRY(sys::run_outliving({}, [&] { return write_here(last); }));
    return {};
  };
  if (TRY(sys::read_link("/proc/self/ns/pid")) !=
      TRY(sys::read_link(sys::proc_path(process, "ns/pid"))))
    return run_in_namespace(process, "pid", write);
  TRY(write_here(last));
  return {};
}

LastPid::LastPid() : before_(read_here()) {}

LastPid::~LastPid() {
  if (read_here() < before_) std::ignore = write_here(NsPid(before_));
}

}  // namespace martlet::engine
