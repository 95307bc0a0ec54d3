#include "sys/seclusion.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <initializer_list>

#include "base/fd.h"
#include "sys/exit_code.h"
#include "sys/pidfd.h"

namespace martlet::sys {
namespace {

constexpr int kPatienceMs = 30'000;  // from the signal until all has ended

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

// Blocks signals as long as it exists.
class BlockedSignals {
 public:
  explicit BlockedSignals(const sigset_t& set) { sigprocmask(SIG_BLOCK, &set, &before_); }
  ~BlockedSignals() { restore(); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  void restore() const { sigprocmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

// Until the worker has ended. An init gets SIGTERM from outside only if it has it blocked or
// handled.
int collect_until_end_of(pid_t worker) {
  const sigset_t awaited = set_of({SIGCHLD, SIGTERM});
  for (;;) {
    int received = 0;
    sigwait(&awaited, &received);
    if (received == SIGTERM) kill(worker, SIGKILL);
    int status = 0;
    for (pid_t ended = 0; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
      if (ended == worker) return exit_code_of(status);
  }
}

[[noreturn]] void be_init(const std::function<int()>& work, const std::function<void()>& clear) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();  // Ctrl-C is for the caller
  const BlockedSignals blocked(set_of({SIGCHLD, SIGTERM}));
  const pid_t worker = fork();
  if (worker < 0) _exit(127);
  if (worker == 0) {
    const sigset_t none = set_of({});
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const int code = work();
    std::fflush(nullptr);
    _exit(code);
  }
  const int code = collect_until_end_of(worker);
  clear();
  _exit(code);
}

// In the caller. Returns what it was told to end by, or 0 if the init ended by itself.
Result<int> await(const Fd& init, const Fd& signals, int timeout_ms) {
  pollfd events[] = {{init.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
  int ready = 0;
  while ((ready = poll(events, 2, timeout_ms)) < 0 && errno == EINTR) {
  }
  if (ready == 0) return fail(Code::kTimeout, "processes did not end in time");
  if (ready < 0) return fail_errno("poll of a process");
  if (events[0].revents != 0) return 0;
  signalfd_siginfo received{};
  TRY(read_full(signals.get(), std::as_writable_bytes(std::span(&received, 1))));
  return static_cast<int>(received.ssi_signo);
}

Result<int> wait_for(pid_t init, const Fd& signals) {
  const Fd ended = TRY(open_pidfd(HostPid(init)));
  const int told = TRY(await(ended, signals, -1));
  if (told != 0) {
    kill(init, SIGTERM);
    // Even if the clearing hangs the command ends, and the init with it.
    if (const auto quiet = await(ended, signals, kPatienceMs); !quiet || *quiet != 0)
      kill(init, SIGKILL);
  }
  int status = 0;
  if (waitpid(init, &status, 0) < 0) return fail_errno("waitpid");
  return told != 0 ? 128 + told : exit_code_of(status);
}

}  // namespace

Result<int> run_secluded(const std::function<int()>& work, const std::function<void()>& clear) {
  std::fflush(nullptr);
  const sigset_t ending = set_of({SIGINT, SIGTERM});
  const BlockedSignals blocked(ending);
  const Fd signals(signalfd(-1, &ending, SFD_CLOEXEC));
  if (!signals.valid()) return fail_errno("signalfd");
  const Fd own = TRY(open_file("/proc/self/ns/pid", O_RDONLY));
  if (unshare(CLONE_NEWPID) != 0) return fail_errno("a new PID namespace");
  const pid_t init = fork();
  if (init == 0) be_init(work, clear);
  if (init < 0) return fail_errno("fork");
  setns(own.get(), CLONE_NEWPID);  // for later children
  return wait_for(init, signals);
}

Result<void> leave_mounts_and_network() {
  if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) return fail_errno("new namespaces");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fail_errno("making mounts private");
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return fail_errno("mount of /proc");
  return {};
}

}  // namespace martlet::sys
