#include "engine/files/pid_kind.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/context.h"
#include "engine/files/fd_info.h"
#include "sys/exit_code.h"
#include "sys/pidfd.h"

namespace martlet::engine {
namespace {

constexpr int kPidfdThread = O_EXCL;  // PIDFD_THREAD of Linux 6.9
constexpr int kPidfdFlags = O_NONBLOCK | kPidfdThread;
constexpr std::string_view kReaped = "-1";

bool is_exit_status(int status) {
  return WIFEXITED(status) || WIFSIGNALED(status);
}

[[noreturn]] void end_like(int status) {
  if (WIFSIGNALED(status)) {
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // no core
    sigset_t none;
    ::sigemptyset(&none);
    ::signal(WTERMSIG(status), SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::kill(::getpid(), WTERMSIG(status));
  }
  ::_exit(WEXITSTATUS(status));
}

// A child of this process, in the PID namespace of the group, takes the place of the one that is
// gone: it ends in the same way and is reaped.
Result<Fd> pidfd_of_reaped(HostPid root, int status, int flags) {
  Fd pidfd;
  TRY(run_in_namespace(root, "pid", [&]() -> Result<void> {
    pid_t child = ::fork();
    if (child < 0) return fail_errno("fork");
    if (child == 0) end_like(status);
    auto opened = sys::open_pidfd(HostPid(child), flags);
    if (::waitpid(child, nullptr, 0) != child) return fail_errno("wait for a child");
    pidfd = TRY(std::move(opened));
    return {};
  }));
  return pidfd;
}

class PidKind final : public FileKind {
 public:
  std::string_view name() const override { return "pidfd"; }

  bool recognises(const OpenFile& file) const override {
    return file.link == "anon_inode:[pidfd]" || file.link.starts_with("pidfd:");
  }

  Result<void> capture(CaptureContext& context, const OpenFile& file,
                       image::File& out) const override {
    image::PidFile& record = *out.mutable_pid_file();
    auto text = info_field(file.info, "Pid");
    if (text == kReaped) {
      record.set_exit_status(sys::collected_status_of(file.fd).value_or(0));
      return {};
    }
    // Zero: not in the PID namespace of this process.
    HostPid pid(static_cast<pid_t>(TRY(info_number(file.info, "Pid", 10))));
    auto inside = context.task(pid);
    if (!inside)
      return fail(Code::kUnsupported,
                  fmt::format("is of process {}, which is outside of the group", pid.value));
    record.set_pid(inside->value);
    return {};
  }

  bool owns(const image::File& file) const override { return file.has_pid_file(); }

  bool needs_tasks(const image::File&) const override { return true; }

  Result<Fd> create(ApplyContext& context, const image::File& file) const override {
    const image::PidFile& record = file.pid_file();
    int flags = static_cast<int>(file.flags()) & kPidfdFlags;
    if (!is_exit_status(record.exit_status()))
      return fail(Code::kBadImage, "exit status of a pidfd's process");
    if (record.pid() == 0) return pidfd_of_reaped(context.root(), record.exit_status(), flags);
    auto task = context.task(NsPid(record.pid()));
    if (!task) return fail(Code::kBadImage, fmt::format("pidfd of process {}", record.pid()));
    return sys::open_pidfd(*task, flags);
  }
};

}  // namespace

const FileKind& pid_kind() {
  static const PidKind kind;
  return kind;
}

}  // namespace martlet::engine
