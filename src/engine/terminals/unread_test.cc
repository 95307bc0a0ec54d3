#include "engine/terminals/unread.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/test_util.h"
#include "sys/pseudo_terminal.h"

namespace martlet::engine {
namespace {

class UnreadTest : public testing::Test {
 protected:
  void SetUp() override {
    master_ = Fd(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    ASSERT_TRUE(master_.valid());
    ASSERT_OK(sys::set_locked(master_.get(), false));
    auto slave = sys::open_slave(master_.get(), O_RDWR | O_NONBLOCK);
    ASSERT_TRUE(slave) << slave.error().to_string();
    slave_ = std::move(*slave);
    before_ = *sys::terminal_settings(slave_.get());
  }

  void set_local_flags(tcflag_t flags) {
    before_.c_lflag = flags;
    ASSERT_OK(sys::set_terminal_settings(slave_.get(), before_));
  }

  void type(std::string_view text) {
    ASSERT_EQ(::write(master_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    pollfd state{slave_.get(), POLLIN, 0};
    ::poll(&state, 1, 0);  // makes the kernel take it in
  }

  static std::string read_once(const Fd& fd) {
    char buffer[4096];
    ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
    return count < 0 ? "nothing" : std::string(buffer, static_cast<size_t>(count));
  }

  TerminalEnds ends() const { return {master_.get(), slave_.get(), false}; }

  void expect_same_settings() const {
    termios2 now = *sys::terminal_settings(slave_.get());
    EXPECT_EQ(std::memcmp(&now, &before_, sizeof now), 0);
  }

  Fd master_;
  Fd slave_;
  termios2 before_{};
};

TEST_F(UnreadTest, LooksTwiceAtOutputThatStaysAsItWas) {
  ASSERT_EQ(::write(slave_.get(), "a\nb\t\3", 5), 5);
  for (int i = 0; i < 2; ++i) {
    auto seen = peek_output(ends());
    ASSERT_OK(seen);
    EXPECT_EQ(*seen, "a\r\nb\t\3");
  }
  EXPECT_EQ(read_once(master_), "a\r\nb\t\3");
  expect_same_settings();
}

TEST_F(UnreadTest, LinesStayLines) {
  set_local_flags(ICANON | ISIG | IEXTEN);
  type("one\n\4\nt");
  for (int i = 0; i < 2; ++i) {
    auto seen = peek_input(ends());
    ASSERT_OK(seen);
    EXPECT_EQ(*seen, std::string("one\n\0\nt", 7));
  }
  EXPECT_EQ(read_once(slave_), "one\n");
  EXPECT_EQ(read_once(slave_), "");
  EXPECT_EQ(read_once(slave_), "\n");
  EXPECT_EQ(read_once(slave_), "nothing");
  type("wo\n");
  EXPECT_EQ(read_once(slave_), "two\n");
  expect_same_settings();
}

TEST_F(UnreadTest, RawInputStaysAsItWas) {
  set_local_flags(0);
  type(std::string_view("\3\0\4a", 4));
  ASSERT_OK(peek_input(ends()));
  EXPECT_EQ(read_once(slave_), std::string("\3\0\4a", 4));
  expect_same_settings();
}

TEST_F(UnreadTest, RefusesMoreInputThanCanBePutBack) {
  set_local_flags(0);
  type(std::string(4050, 'x'));
  EXPECT_FALSE(peek_input(ends()));
  EXPECT_EQ(read_once(slave_).size(), 4050u);
}

TEST_F(UnreadTest, StoppedOutputIsSeen) {
  EXPECT_FALSE(is_stopped(ends()));
  ASSERT_OK(stop_output(ends()));
  EXPECT_TRUE(is_stopped(ends()));
}

}  // namespace
}  // namespace martlet::engine
