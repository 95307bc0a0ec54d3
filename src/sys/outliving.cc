#include "sys/outliving.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "sys/pidfd.h"

namespace martlet::sys {
namespace {

constexpr unsigned kDeadlineSeconds = 30;

struct Pipe {
  Fd read_end;
  Fd write_end;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("create a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

void close_all_but(std::vector<int> kept) {
  std::ranges::sort(kept);
  unsigned next = 0;
  for (int fd : kept) {
    if (static_cast<unsigned>(fd) > next) ::close_range(next, static_cast<unsigned>(fd) - 1, 0);
    next = static_cast<unsigned>(fd) + 1;
  }
  ::close_range(next, ~0U, 0);
}

// What the child opens later must not become its standard error.
void close_standard_streams() {
  int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nothing, fd);
  if (nothing > STDERR_FILENO) ::close(nothing);
}

// As fork(), but the child takes no signals except that of its own deadline, and has only `kept`.
Result<pid_t> fork_apart(std::vector<int> kept) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t child = ::fork();
  if (child != 0) {
    int error = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (child > 0) return child;
    errno = error;
    return fail_errno("fork");
  }
  ::prctl(PR_SET_NAME, "martlet-guard");
  ::signal(SIGALRM, SIG_DFL);
  sigdelset(&all, SIGALRM);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  close_standard_streams();
  kept.insert(kept.end(), {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO});
  close_all_but(std::move(kept));
  return 0;
}

void reap(pid_t child) {
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 4096> piece{};
  for (;;) {
    ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(piece.data(), static_cast<size_t>(got));
  }
}

// One byte, 0 for success or the error's code + 1, and the text.
std::string encode(const Result<std::string>& outcome) {
  if (outcome) return '\0' + *outcome;
  return static_cast<char>(static_cast<int>(outcome.error().code()) + 1) +
         outcome.error().to_string();
}

Result<std::string> decode(const std::string& text) {
  if (text.empty()) return fail(Code::kSystem, "the process that does the work has ended");
  if (text[0] == 0) return text.substr(1);
  return fail(static_cast<Code>(text[0] - 1), text.substr(1));
}

[[noreturn]] void stand_guard(const Fd& parent, const Fd& dismissal,
                              const std::function<void()>& mend) {
  std::array<pollfd, 2> events = {pollfd{dismissal.get(), POLLIN, 0},
                                  pollfd{parent.get(), POLLIN, 0}};
  while (::poll(events.data(), events.size(), -1) < 0) {
  }
  char byte = 0;
  if (::read(dismissal.get(), &byte, 1) == 1) ::_exit(0);
  // The other end is closed; only when the parent is gone has it let go of what it traced.
  while (::poll(&events[1], 1, -1) != 1) {
  }
  ::alarm(kDeadlineSeconds);
  mend();
  ::_exit(0);
}

}  // namespace

Result<std::string> run_outliving(std::span<const int> kept,
                                  const std::function<Result<std::string>()>& work) {
  Pipe answer = TRY(make_pipe());
  std::vector<int> used(kept.begin(), kept.end());
  used.push_back(answer.write_end.get());
  pid_t child = TRY(fork_apart(std::move(used)));
  if (child == 0) {
    ::alarm(kDeadlineSeconds);
    std::string text = encode(work());
    ::_exit(write_full(answer.write_end.get(), std::as_bytes(std::span(text))) ? 0 : 1);
  }
  answer.write_end.reset();
  std::string text = read_to_end(answer.read_end.get());
  reap(child);
  return decode(text);
}

Result<Guard> Guard::post(const std::function<void()>& mend) {
  Pipe dismissal = TRY(make_pipe());
  Fd parent = TRY(open_pidfd(HostPid(::getpid())));
  pid_t child = TRY(fork_apart({parent.get(), dismissal.read_end.get()}));
  if (child == 0) stand_guard(parent, dismissal.read_end, mend);
  return Guard(child, std::move(dismissal.write_end));
}

Guard::~Guard() {
  if (child_ == 0) return;
  char byte = 0;
  std::ignore = write_full(dismissal_.get(), std::as_bytes(std::span(&byte, 1)));
  reap(child_);
}

}  // namespace martlet::sys
