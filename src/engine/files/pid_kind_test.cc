#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "engine/files/kind_test_util.h"
#include "sys/exit_code.h"
#include "sys/pidfd.h"

namespace martlet::engine {
namespace {

class PidTest : public KindTest {
 protected:
  // A child that ends when it is told, and a pidfd of it.
  void start_child() {
    child_ = ::fork();
    if (child_ == 0) {
      ::pause();
      ::_exit(0);
    }
    pidfd_ = *sys::open_pidfd(HostPid(child_), O_NONBLOCK);
  }

  void end_child() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }

  void TearDown() override { end_child(); }

  static short events(int fd) {
    pollfd state{fd, POLLIN, 0};
    return ::poll(&state, 1, 0) == 1 ? state.revents : short{0};
  }

  static constexpr NsPid kInside{77};
  pid_t child_ = -1;
  Fd pidfd_;
};

TEST_F(PidTest, is_of_the_task_that_has_the_number) {
  start_child();
  capture_context_->set_task(HostPid(child_), kInside);
  apply_context_->set_task(kInside, HostPid(child_));
  ASSERT_OK(capture({pidfd_.get()}));
  EXPECT_EQ(record(pidfd_.get()).pid_file().pid(), kInside.value);
  ASSERT_OK(restore());
  int copy = restored(pidfd_.get());
  EXPECT_EQ(::fcntl(copy, F_GETFL), ::fcntl(pidfd_.get(), F_GETFL));
  EXPECT_EQ(events(copy), 0);
  end_child();
  EXPECT_TRUE(events(copy) & POLLIN);
}

TEST_F(PidTest, keeps_the_status_of_a_reaped_process) {
  start_child();
  end_child();
  ASSERT_OK(capture({pidfd_.get()}));
  ASSERT_OK(restore());
  int copy = restored(pidfd_.get());
  EXPECT_EQ(sys::collected_status_of(copy), sys::collected_status_of(pidfd_.get()));
  EXPECT_EQ(events(copy), events(pidfd_.get()));
  siginfo_t info{};
  EXPECT_LT(::waitid(P_PIDFD, static_cast<id_t>(copy), &info, WEXITED), 0);
  EXPECT_EQ(errno, ECHILD);
}

TEST_F(PidTest, refuses_a_process_outside_of_the_group) {
  start_child();
  auto captured = capture({pidfd_.get()});
  ASSERT_FALSE(captured.has_value());
  EXPECT_EQ(captured.error().code(), Code::kUnsupported);
}

TEST_F(PidTest, refuses_impossible_images) {
  start_child();
  end_child();
  ASSERT_OK(capture({pidfd_.get()}));
  image::PidFile& record = *this->record(pidfd_.get()).mutable_pid_file();
  record.set_pid(12345);
  EXPECT_FALSE(restore().has_value());
  record.set_pid(0);
  record.set_exit_status(0x7f);
  EXPECT_FALSE(restore().has_value());
}

}  // namespace
}  // namespace martlet::engine
