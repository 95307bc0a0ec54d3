#include "sys/packet_backlog.h"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include <thread>

#include "base/test_util.h"
#include "sys/netlink.h"
#include "sys/packet_socket.h"

namespace martlet::sys {
namespace {

// Runs on a thread of its own, in a network namespace of its own.
void drain_a_link() {
  constexpr int kFrames = 100;
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  Netlink links = must(Netlink::open());
  must(links.set_up("lo"));
  must(links.add_veth("outer", "inner", HostPid(::gettid())));
  for (const char* link : {"outer", "inner"}) {
    must(links.disable_autoconfiguration(link));
    must(links.set_up(link));
  }
  auto outer = must(PacketSocket::open("outer"));
  auto inner = must(PacketSocket::open_for_sending("inner"));
  const Frame frame =
      make_announcement(must(parse_mac("02:00:00:00:00:05")), must(parse_ip("10.9.0.1")));
  for (int i = 0; i < kFrames; ++i) must(inner.send(frame));
  must(drain_packet_backlog(1));
  for (int i = 0; i < kFrames; ++i) EXPECT_EQ(must(outer.receive()), frame) << i;
}

TEST(PacketBacklog, WhatWasSentHasArrived) {
  std::thread(drain_a_link).join();
}

TEST(PacketBacklog, SaysThatItCannotTell) {
  std::thread([] {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);  // its loopback link is down
    EXPECT_FALSE(drain_packet_backlog(1));
  }).join();
}

}  // namespace
}  // namespace martlet::sys
