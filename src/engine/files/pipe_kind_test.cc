#include <poll.h>
#include <sys/stat.h>

#include "base/test_util.h"
#include "engine/files/kind_test_util.h"

namespace martlet::engine {
namespace {

class PipeTest : public KindTest {
 protected:
  void make_pipe(int flags) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, flags | O_CLOEXEC), 0);
    reader_ = Fd(ends[0]);
    writer_ = Fd(ends[1]);
  }

  static void put(int fd, std::string_view text) {
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  static std::string take(int fd, size_t limit = 1 << 20) {
    std::string text(limit, '\0');
    ssize_t got = ::read(fd, text.data(), text.size());
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }

  Fd reader_, writer_;
};

TEST_F(PipeTest, keeps_content_and_leaves_the_original_alone) {
  make_pipe(O_NONBLOCK);
  std::string text(50'000, 'x');
  put(writer_.get(), text);
  ASSERT_OK(capture({reader_.get(), writer_.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(take(restored(reader_.get())), text);
  EXPECT_EQ(take(reader_.get()), text);
  put(restored(writer_.get()), "more");
  EXPECT_EQ(take(restored(reader_.get())), "more");
  EXPECT_EQ(take(reader_.get()), "");
}

TEST_F(PipeTest, keeps_capacity_of_a_full_pipe) {
  make_pipe(O_NONBLOCK);
  ASSERT_EQ(::fcntl(writer_.get(), F_SETPIPE_SZ, 1 << 18), 1 << 18);
  std::string text(1 << 18, 'y');
  put(writer_.get(), text);
  ASSERT_OK(capture({writer_.get(), reader_.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(::fcntl(restored(reader_.get()), F_GETPIPE_SZ), 1 << 18);
  EXPECT_EQ(::write(restored(writer_.get()), "z", 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(take(restored(reader_.get())), text);
}

TEST_F(PipeTest, keeps_packets_apart) {
  make_pipe(O_NONBLOCK | O_DIRECT);
  put(writer_.get(), "one");
  put(writer_.get(), "two");
  ASSERT_OK(capture({reader_.get(), writer_.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(take(restored(reader_.get())), "one");
  EXPECT_EQ(take(restored(reader_.get())), "two");
  EXPECT_TRUE(::fcntl(restored(writer_.get()), F_GETFL) & O_DIRECT);
}

TEST_F(PipeTest, several_descriptions_of_one_end) {
  make_pipe(O_NONBLOCK);
  Fd second = *open_file("/proc/self/fd/" + std::to_string(writer_.get()), O_WRONLY);
  Fd both = *open_file("/proc/self/fd/" + std::to_string(writer_.get()), O_RDWR);
  ASSERT_OK(capture({reader_.get(), writer_.get(), second.get(), both.get()}));
  ASSERT_OK(restore());
  put(restored(writer_.get()), "a");
  put(restored(second.get()), "b");
  put(restored(both.get()), "c");
  EXPECT_EQ(take(restored(reader_.get())), "abc");
  for (int fd : {reader_.get(), writer_.get(), second.get(), both.get()})
    EXPECT_EQ(::fcntl(restored(fd), F_GETFL), ::fcntl(fd, F_GETFL));
}

TEST_F(PipeTest, closed_write_end_leaves_data_and_end_of_file) {
  make_pipe(0);
  put(writer_.get(), "last words");
  writer_.reset();
  ASSERT_OK(capture({reader_.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(take(restored(reader_.get()), 4), "last");
  EXPECT_EQ(take(restored(reader_.get())), " words");
  pollfd state{restored(reader_.get()), POLLIN, 0};
  ASSERT_EQ(::poll(&state, 1, 0), 1);
  EXPECT_TRUE(state.revents & POLLHUP);
}

TEST_F(PipeTest, closed_read_end_stays_broken) {
  make_pipe(O_NONBLOCK);
  reader_.reset();
  ASSERT_OK(capture({writer_.get()}));
  ASSERT_OK(restore());
  pollfd state{restored(writer_.get()), 0, 0};
  ASSERT_EQ(::poll(&state, 1, 0), 1);
  EXPECT_TRUE(state.revents & POLLERR);
}

TEST_F(PipeTest, refuses_a_pipe_whose_other_end_is_outside) {
  make_pipe(0);
  auto captured = capture({writer_.get()});
  ASSERT_FALSE(captured.has_value());
  EXPECT_EQ(captured.error().code(), Code::kUnsupported);
  EXPECT_NE(captured.error().to_string().find("read end"), std::string::npos);
}

class FifoTest : public PipeTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(::mkfifo(path().c_str(), 0640), 0);
    reader_ = *open_file(path(), O_RDONLY | O_NONBLOCK);
    writer_ = *open_file(path(), O_WRONLY | O_NONBLOCK);
    put(writer_.get(), "through a name");
  }
  std::string path() const { return directory_ / "fifo"; }
  TemporaryDirectory directory_;
};

TEST_F(FifoTest, is_opened_by_its_path) {
  ASSERT_OK(capture({reader_.get(), writer_.get()}));
  reader_.reset();  // the last one: the kernel drops the data
  writer_.reset();
  ASSERT_OK(restore());
  int copy = apply_context_->description(1);
  EXPECT_EQ(take(copy), "through a name");
  Fd later = *open_file(path(), O_WRONLY | O_NONBLOCK);
  put(later.get(), "again");
  EXPECT_EQ(take(copy), "again");
}

TEST_F(FifoTest, without_a_name) {
  ASSERT_EQ(::unlink(path().c_str()), 0);
  ASSERT_OK(capture({reader_.get(), writer_.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(take(restored(reader_.get())), "through a name");
  EXPECT_NE(::access(path().c_str(), F_OK), 0);
}

}  // namespace
}  // namespace martlet::engine
