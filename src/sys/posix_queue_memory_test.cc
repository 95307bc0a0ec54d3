#include "sys/posix_queue_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

#include "base/fd.h"

namespace martlet::sys {
namespace {

class PosixQueueMemoryTest : public ::testing::Test {
 protected:
  static Fd make() {
    mq_attr size{};
    size.mq_maxmsg = 10;
    size.mq_msgsize = 8192;
    const std::string name = "test-" + std::to_string(::getpid());
    Fd queue(static_cast<int>(
        ::syscall(SYS_mq_open, name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &size)));
    EXPECT_TRUE(queue.valid());
    EXPECT_EQ(::syscall(SYS_mq_unlink, name.c_str()), 0);
    return queue;
  }

  void send(const std::string& data, unsigned priority) const {
    ASSERT_EQ(::mq_send(queue_.get(), data.data(), data.size(), priority), 0);
  }

  void notify(const sigevent& event) const {
    ASSERT_EQ(::syscall(SYS_mq_notify, queue_.get(), &event), 0);
  }

  std::vector<StoredMessage> messages() const {
    const auto& memory = PosixQueueMemory::shared();
    EXPECT_TRUE(memory) << memory.error().to_string();
    auto seen = memory->messages(queue_.get());
    EXPECT_TRUE(seen) << seen.error().to_string();
    return std::move(*seen);
  }

  Fd queue_ = make();
};

TEST_F(PosixQueueMemoryTest, is_empty) {
  EXPECT_TRUE(messages().empty());
}

TEST_F(PosixQueueMemoryTest, messages_are_in_the_order_in_which_they_are_received) {
  for (unsigned priority : {3u, 9u, 1u, 5u, 3u, 8u, 1u, 7u, 2u})
    send("p" + std::to_string(priority), priority);
  const std::array expected = {9u, 8u, 7u, 5u, 3u, 3u, 2u, 1u, 1u};
  const auto seen = messages();
  ASSERT_EQ(seen.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(seen[i].priority, expected[i]);
    EXPECT_EQ(seen[i].data, "p" + std::to_string(expected[i]));
  }
  EXPECT_EQ(messages().size(), expected.size());  // nothing was taken
}

TEST_F(PosixQueueMemoryTest, messages_of_every_length) {
  for (size_t size : {0u, 1u, 4047u, 4048u, 4049u, 8135u, 8136u, 8137u, 8192u}) {
    std::string data(size, '\0');
    for (size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 7);
    send(data, 1);
    EXPECT_EQ(messages().back().data, data) << size;
  }
}

TEST_F(PosixQueueMemoryTest, what_a_thread_is_to_be_told) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
  struct stat status{};
  ASSERT_EQ(::fstat(socket.get(), &status), 0);
  std::array<char, 32> cookie{'c', 'o', 'o', 'k', 'i', 'e'};
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_signo = socket.get();
  event.sigev_value.sival_ptr = cookie.data();
  notify(event);
  auto seen = PosixQueueMemory::shared()->notification(queue_.get());
  ASSERT_TRUE(seen) << seen.error().to_string();
  EXPECT_EQ(seen->kind, SIGEV_THREAD);
  EXPECT_EQ(seen->socket, status.st_ino);
  EXPECT_EQ(seen->cookie.substr(0, 31), std::string(cookie.data(), 31));
}

TEST_F(PosixQueueMemoryTest, what_a_signal_is_to_tell) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_value.sival_int = 42;
  notify(event);
  auto seen = PosixQueueMemory::shared()->notification(queue_.get());
  ASSERT_TRUE(seen) << seen.error().to_string();
  EXPECT_EQ(seen->kind, SIGEV_SIGNAL);
  EXPECT_EQ(static_cast<int>(seen->value), 42);
  EXPECT_TRUE(seen->of_this_program);
  struct stat users{};
  ASSERT_EQ(::stat("/proc/self/ns/user", &users), 0);
  EXPECT_EQ(seen->user_namespace, users.st_ino);
}

}  // namespace
}  // namespace martlet::sys
