#include "engine/files/unread_queues.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

#include "base/test_util.h"

namespace martlet::engine {
namespace {

HostPid self() {
  return HostPid(::getpid());
}

TEST(UnreadQueues, waits_for_inotify) {
  TemporaryDirectory directory;
  Fd fd(::inotify_init1(IN_CLOEXEC));
  ::inotify_add_watch(fd.get(), directory.path().c_str(), IN_CREATE);
  auto queues = UnreadQueues::find(self());
  EXPECT_TRUE(queues.all_read());
  ASSERT_TRUE(open_file(directory / "new", O_CREAT | O_RDWR, 0600).has_value());
  EXPECT_FALSE(queues.all_read());
  std::array<char, 512> events{};
  EXPECT_GT(::read(fd.get(), events.data(), events.size()), 0);
  EXPECT_TRUE(queues.all_read());
}

TEST(UnreadQueues, waits_for_netlink) {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK));
  sockaddr_nl name{};
  name.nl_family = AF_NETLINK;
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  socklen_t size = sizeof name;
  ASSERT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
  auto queues = UnreadQueues::find(self());
  EXPECT_TRUE(queues.all_read());
  ASSERT_EQ(::sendto(fd.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&name), size), 1);
  EXPECT_FALSE(queues.all_read());
  char byte = 0;
  EXPECT_EQ(::recv(fd.get(), &byte, 1, 0), 1);
  EXPECT_TRUE(queues.all_read());
}

TEST(UnreadQueues, waits_for_unix_connections) {
  Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un name{AF_UNIX, {}};
  socklen_t size = sizeof name.sun_family;  // the kernel chooses a name
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  size = sizeof name;
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
  auto queues = UnreadQueues::find(self());
  EXPECT_TRUE(queues.all_read());
  Fd client(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
  EXPECT_FALSE(queues.all_read());
  Fd server(::accept(listener.get(), nullptr, nullptr));
  EXPECT_TRUE(server.valid());
  EXPECT_TRUE(queues.all_read());
}

TEST(UnreadQueues, has_none_of_a_process_that_is_gone) {
  EXPECT_TRUE(UnreadQueues::find(HostPid(0x3fffff)).all_read());
}

}  // namespace
}  // namespace martlet::engine
