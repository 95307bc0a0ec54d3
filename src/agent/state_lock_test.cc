#include "agent/state_lock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test_util.h"

namespace martlet::agent {
namespace {

// An agent with the lock, and a child of it that has copies of all its descriptors.
class LockedAgent {
 public:
  explicit LockedAgent(const std::string& state_dir) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    agent_ = fork();
    if (agent_ == 0) run(state_dir, ends[1]);
    close(ends[1]);
    EXPECT_EQ(read(ends[0], &child_, sizeof child_), static_cast<ssize_t>(sizeof child_));
    close(ends[0]);
  }
  ~LockedAgent() {
    if (child_ > 0) ::kill(child_, SIGKILL);
    kill();
  }
  LockedAgent(const LockedAgent&) = delete;
  LockedAgent& operator=(const LockedAgent&) = delete;

  bool child_lives() const { return child_ > 0 && ::kill(child_, 0) == 0; }
  void kill() {
    if (agent_ <= 0) return;
    ::kill(agent_, SIGKILL);
    waitpid(agent_, nullptr, 0);
    agent_ = 0;
  }

 private:
  [[noreturn]] static void run(const std::string& state_dir, int answer) {
    const auto lock = lock_state(state_dir);
    const pid_t child = lock ? fork() : -1;
    if (child == 0)
      for (;;) pause();
    (void)!write(answer, &child, sizeof child);
    for (;;) pause();
  }

  pid_t agent_ = 0;
  pid_t child_ = 0;
};

TEST(StateLock, KeepsASecondAgentOut) {
  const TemporaryDirectory directory;
  const LockedAgent agent(directory.path());
  ASSERT_TRUE(agent.child_lives());
  const auto second = lock_state(directory.path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kAlreadyExists);
}

TEST(StateLock, EndsWithItsAgentWhateverChildrenRemain) {
  const TemporaryDirectory directory;
  LockedAgent agent(directory.path());
  agent.kill();
  ASSERT_TRUE(agent.child_lives());
  EXPECT_TRUE(lock_state(directory.path()));
}

}  // namespace
}  // namespace martlet::agent
