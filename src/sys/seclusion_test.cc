#include "sys/seclusion.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/fd.h"
#include "base/test_util.h"
#include "sys/netlink.h"

namespace martlet::sys {
namespace {

class SeclusionTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
  }
};

TEST_F(SeclusionTest, ReturnsTheCodeOfTheWork) {
  EXPECT_EQ(must(run_secluded([] { return 7; }, [] {})), 7);
  EXPECT_EQ(must(run_secluded(
                []() -> int {
                  raise(SIGKILL);
                  return 0;
                },
                [] {})),
            128 + SIGKILL);
}

// The reading end sees the end of file only when no descendant is left that holds the other.
TEST_F(SeclusionTest, NothingThatItStartedGoesOn) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const auto leave_orphans = [] {
    for (int i = 0; i < 3; ++i)
      if (fork() == 0) {
        setsid();
        if (fork() != 0) _exit(0);
        pause();
      }
    return 0;
  };
  EXPECT_EQ(must(run_secluded(leave_orphans, [] {})), 0);
  writer.reset();
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 0);
}

TEST_F(SeclusionTest, ClearsBeforeTheRestIsKilled) {
  const TemporaryDirectory directory;
  const std::string mark = directory / "cleared";
  EXPECT_EQ(must(run_secluded([] { return 0; }, [&] { (void)replace_file(mark, "", 0600); })), 0);
  EXPECT_TRUE(std::filesystem::exists(mark));
}

TEST_F(SeclusionTest, ASignalToTheCallerEndsTheWork) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const TemporaryDirectory directory;
  const std::string mark = directory / "cleared";
  const pid_t caller = fork();
  if (caller == 0) {
    const auto code = run_secluded(
        [&] {
          (void)!write(ends[1], "w", 1);
          for (;;) pause();
          return 0;
        },
        [&] { (void)replace_file(mark, "", 0600); });
    _exit(code ? *code : 99);
  }
  char byte = 0;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);  // it works
  kill(caller, SIGTERM);
  int status = 0;
  ASSERT_EQ(waitpid(caller, &status, 0), caller);
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  EXPECT_TRUE(std::filesystem::exists(mark));
  close(ends[0]);
  close(ends[1]);
}

TEST_F(SeclusionTest, HasItsOwnProcessesMountsAndLinks) {
  const auto work = []() -> int {
    if (!leave_mounts_and_network()) return 1;
    if (std::filesystem::read_symlink("/proc/self") != std::to_string(getpid())) return 2;
    auto netlink = Netlink::open();
    return netlink && netlink->add_bridge("br0") ? 0 : 3;
  };
  EXPECT_EQ(must(run_secluded(work, [] {})), 0);
  EXPECT_EQ(must(run_secluded(work, [] {})), 0);  // the bridge is gone
}

}  // namespace
}  // namespace martlet::sys
