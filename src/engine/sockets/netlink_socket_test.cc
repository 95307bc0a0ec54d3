#include "engine/sockets/netlink_socket.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "engine/files/kind_test_util.h"

namespace martlet::engine {
namespace {

class NetlinkTest : public KindTest {
 protected:
  static sockaddr_nl name_of(int fd) {
    sockaddr_nl name{};
    socklen_t size = sizeof name;
    EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size), 0);
    return name;
  }

  void bind(uint32_t port, uint32_t groups) {
    sockaddr_nl name{};
    name.nl_family = AF_NETLINK;
    name.nl_pid = port;
    name.nl_groups = groups;
    ASSERT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  }

  static constexpr uint32_t kPort = 0xfffe'0001;
  Fd fd_{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
};

TEST_F(NetlinkTest, keeps_port_groups_and_options) {
  bind(kPort, RTMGRP_LINK | RTMGRP_IPV4_ROUTE);
  int high = RTNLGRP_MDB, on = 1;
  ASSERT_EQ(::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &high, sizeof high), 0);
  ASSERT_EQ(::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on), 0);
  ASSERT_OK(capture({fd_.get()}));
  int number = fd_.get();
  fd_.reset();  // its port is free
  ASSERT_OK(restore());
  int copy = restored(number);
  EXPECT_EQ(name_of(copy).nl_pid, kPort);
  EXPECT_EQ(name_of(copy).nl_groups, RTMGRP_LINK | RTMGRP_IPV4_ROUTE | (1u << (RTNLGRP_MDB - 1)));
  int value = 0;
  socklen_t size = sizeof value;
  ASSERT_EQ(::getsockopt(copy, SOL_NETLINK, NETLINK_CAP_ACK, &value, &size), 0);
  EXPECT_EQ(value, 1);
}

TEST_F(NetlinkTest, has_no_port_before_it_needs_one) {
  ASSERT_OK(capture({fd_.get()}));
  ASSERT_OK(restore());
  EXPECT_EQ(name_of(restored(fd_.get())).nl_pid, 0u);
}

TEST_F(NetlinkTest, fails_if_its_port_is_taken) {
  bind(kPort, 0);
  ASSERT_OK(capture({fd_.get()}));
  auto failed = restore();
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().error_number(), EADDRINUSE);
}

TEST_F(NetlinkTest, refuses_messages_that_were_not_read) {
  bind(kPort, 0);
  struct {
    nlmsghdr header;
    rtgenmsg message;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  ASSERT_EQ(::send(fd_.get(), &request, sizeof request, 0), ssize_t{sizeof request});
  auto captured = capture({fd_.get()});
  ASSERT_FALSE(captured.has_value());
  EXPECT_EQ(captured.error().code(), Code::kUnsupported);
}

TEST_F(NetlinkTest, refuses_impossible_images) {
  ASSERT_OK(capture({fd_.get()}));
  image::NetlinkSocket& record = *this->record(fd_.get()).mutable_netlink();
  record.set_protocol(NETLINK_NETFILTER);
  EXPECT_FALSE(restore().has_value());
  record.set_protocol(NETLINK_ROUTE);
  record.set_type(SOCK_STREAM);
  EXPECT_FALSE(restore().has_value());
  record.set_type(SOCK_RAW);
  record.add_groups(100'000);
  EXPECT_FALSE(restore().has_value());
}

}  // namespace
}  // namespace martlet::engine
