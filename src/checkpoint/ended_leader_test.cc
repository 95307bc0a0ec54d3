#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <thread>

#include "base/worker_thread.h"
#include "checkpoint/group.h"
#include "sys/procfs.h"
#include "sys/tracee.h"

namespace martlet::checkpoint {
namespace {

constexpr auto kDeadline = std::chrono::seconds(5);

// A process whose main thread ends when it is told to, before another of its threads; and its
// parent, which is another process than this and tells of its end.
class LeaderThatEnds {
 public:
  LeaderThatEnds() {
    std::array<int, 2> go{}, told{};
    EXPECT_EQ(::pipe2(go.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(told.data(), O_CLOEXEC), 0);
    parent_ = ::fork();
    if (parent_ == 0) be_parent(go[0], told[1]);
    go_ = Fd(go[1]);
    told_ = Fd(told[0]);
    ::close(go[0]);
    ::close(told[1]);
    pid_t pid = 0;
    EXPECT_EQ(::read(told_.get(), &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
    pid_ = HostPid(pid);
  }
  ~LeaderThatEnds() {
    ::kill(pid_.value, SIGKILL);
    ::kill(parent_, SIGKILL);
    ::waitpid(parent_, nullptr, 0);
  }
  LeaderThatEnds(const LeaderThatEnds&) = delete;
  LeaderThatEnds& operator=(const LeaderThatEnds&) = delete;

  HostPid pid() const { return pid_; }

  bool end_leader() const {
    EXPECT_EQ(::write(go_.get(), "x", 1), 1);
    const auto deadline = std::chrono::steady_clock::now() + kDeadline;
    while (std::chrono::steady_clock::now() < deadline) {
      auto status = sys::read_status(pid_);
      if (status && status->state == 'Z') return true;
      std::this_thread::yield();
    }
    return false;
  }

  // As its parent is told it: what wait(2) says.
  std::optional<int> end() const {
    pollfd told{told_.get(), POLLIN, 0};
    const auto limit = std::chrono::milliseconds(kDeadline).count();
    int status = 0;
    if (::poll(&told, 1, static_cast<int>(limit)) != 1 ||
        ::read(told_.get(), &status, sizeof status) != static_cast<ssize_t>(sizeof status))
      return std::nullopt;
    return status;
  }

 private:
  [[noreturn]] static void be_parent(int go, int told) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const pid_t child = ::fork();
    if (child == 0) be_process(go, told);
    int status = 0;
    if (::waitpid(child, &status, 0) == child) std::ignore = ::write(told, &status, sizeof status);
    ::_exit(0);
  }

  // It tells of itself when its other thread is there.
  [[noreturn]] static void be_process(int go, int told) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::thread([] {
      for (;;) ::pause();
    }).detach();
    const pid_t own = ::getpid();
    std::ignore = ::write(told, &own, sizeof own);
    char byte = 0;
    std::ignore = ::read(go, &byte, 1);
    for (;;) ::syscall(SYS_exit, 0);
  }

  pid_t parent_ = -1;
  HostPid pid_;
  Fd go_;
  Fd told_;
};

GroupSpec group_of(HostPid root) {
  GroupSpec spec;
  spec.root = root;
  return spec;
}

TEST(FrozenGroupTest, kill_lets_go_of_a_leader_that_ended_while_it_was_traced) {
  LeaderThatEnds process;
  auto leader = sys::Tracee::seize(process.pid(), sys::Death::kGoOn);
  ASSERT_TRUE(leader) << leader.error().to_string();
  ASSERT_TRUE(process.end_leader());
  leader->forget();
  auto group = FrozenGroup::freeze(group_of(process.pid()));
  ASSERT_TRUE(group) << group.error().to_string();
  ASSERT_TRUE(group->kill());
  EXPECT_EQ(process.end(), SIGKILL);
}

// What a group's thread has seized is let go when that thread ends.
TEST(FrozenGroupTest, a_leader_that_ended_while_it_was_traced_is_let_go_by_the_tracers_end) {
  LeaderThatEnds process;
  std::optional<WorkerThread> tracer(std::in_place);
  const bool ended = tracer->perform([&] {
    auto leader = sys::Tracee::seize(process.pid(), sys::Death::kGoOn);
    const bool is_zombie = leader && process.end_leader();
    if (leader) leader->forget();
    return is_zombie;
  });
  ASSERT_TRUE(ended);
  tracer.reset();
  ASSERT_EQ(::kill(process.pid().value, SIGKILL), 0);
  EXPECT_EQ(process.end(), SIGKILL);
}

}  // namespace
}  // namespace martlet::checkpoint
