#include "sys/aio_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <vector>

#include "base/fd.h"

namespace martlet::sys {
namespace {

class AioReaderTest : public ::testing::Test {
 protected:
  ~AioReaderTest() override {
    for (aio_context_t id : made_) ::syscall(SYS_io_destroy, id);
  }

  aio_context_t make(unsigned requests) {
    aio_context_t id = 0;
    EXPECT_EQ(::syscall(SYS_io_setup, requests, &id), 0);
    made_.push_back(id);
    return id;
  }
  static long submit(aio_context_t id, uint16_t operation, int fd, uint64_t argument = 0) {
    iocb request{};
    request.aio_lio_opcode = operation;
    request.aio_fildes = static_cast<uint32_t>(fd);
    request.aio_buf = argument;
    std::array<iocb*, 1> requests = {&request};
    return ::syscall(SYS_io_submit, id, 1, requests.data());
  }
  static void reap(aio_context_t id, long count) {
    std::vector<io_event> events(static_cast<size_t>(count));
    EXPECT_EQ(::syscall(SYS_io_getevents, id, count, count, events.data(), nullptr), count);
  }
  static std::optional<AioContext> seen(aio_context_t id) {
    const auto& reader = AioReader::shared();
    EXPECT_TRUE(reader) << reader.error().to_string();
    auto contexts = reader->read(HostPid(::getpid()));
    EXPECT_TRUE(contexts) << contexts.error().to_string();
    for (const AioContext& context : *contexts)
      if (context.id == id) return context;
    return std::nullopt;
  }

  std::vector<aio_context_t> made_;
};

TEST_F(AioReaderTest, tells_contexts_apart) {
  const auto small = seen(make(3));
  const auto large = seen(make(500));
  ASSERT_TRUE(small && large);
  EXPECT_EQ(small->max_requests, 3u);
  EXPECT_EQ(large->max_requests, 500u);
  EXPECT_EQ(large->places % 128, 127u);  // it fills whole pages behind a header
  EXPECT_GE(large->places, 1000u);
  EXPECT_EQ(large->in_flight, 0u);
}

TEST_F(AioReaderTest, forgets_a_destroyed_context) {
  const aio_context_t id = make(1);
  EXPECT_TRUE(seen(id));
  EXPECT_EQ(::syscall(SYS_io_destroy, id), 0);
  EXPECT_FALSE(seen(id));
  made_.clear();
}

TEST_F(AioReaderTest, follows_a_ring_that_moves) {
  const aio_context_t id = make(1);
  void* to = ::mmap(nullptr, kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(to, MAP_FAILED);
  ASSERT_EQ(::mremap(reinterpret_cast<void*>(id), kPageSize, kPageSize,  // NOLINT
                     MREMAP_MAYMOVE | MREMAP_FIXED, to),
            to);
  made_ = {reinterpret_cast<aio_context_t>(to)};
  EXPECT_FALSE(seen(id));
  EXPECT_TRUE(seen(made_[0]));
}

TEST_F(AioReaderTest, does_not_count_unread_events) {
  const aio_context_t id = make(8);
  Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < 5; ++i) ASSERT_EQ(submit(id, IOCB_CMD_PREAD, null.get()), 1);
  const auto context = seen(id);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->tail, 5u);
  EXPECT_EQ(context->in_flight, 0u);
}

TEST_F(AioReaderTest, does_not_count_refused_requests) {
  const aio_context_t id = make(8);
  EXPECT_EQ(submit(id, IOCB_CMD_PREAD, -1), -1);
  EXPECT_EQ(seen(id)->in_flight, 0u);
}

TEST_F(AioReaderTest, counts_what_waits) {
  const aio_context_t id = make(8);
  const aio_context_t other = make(8);
  std::vector<Fd> events;
  for (int i = 0; i < 3; ++i) {
    events.emplace_back(::eventfd(0, EFD_CLOEXEC));
    ASSERT_EQ(submit(id, IOCB_CMD_POLL, events.back().get(), POLLIN), 1);
  }
  EXPECT_EQ(seen(id)->in_flight, 3u);
  EXPECT_TRUE(seen(id)->polls);
  EXPECT_EQ(seen(other)->in_flight, 0u);
  ASSERT_EQ(::eventfd_write(events[1].get(), 1), 0);
  reap(id, 1);
  EXPECT_EQ(seen(id)->in_flight, 2u);
  EXPECT_EQ(::syscall(SYS_io_destroy, id), 0);
  made_.erase(made_.begin());
}

}  // namespace
}  // namespace martlet::sys
