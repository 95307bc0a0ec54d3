#include "sys/packet_socket.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "sys/netlink.h"

namespace martlet::sys {
namespace {

constexpr int kDeadlineMilliseconds = 10'000;

template <typename T>
T must(Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().to_string();
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

// Sends one UDP datagram to `address` with the kernel's own stack.
void send_datagram(const char* address, uint16_t port) {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  ::inet_pton(AF_INET, address, &to.sin_addr);
  ASSERT_EQ(::sendto(socket.get(), "held", 4, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 4);
}

// One end of a veth pair plays the bridge and keeps what is sent to a station behind it; the same
// frame, given back on that end, reaches a socket on the other end.
void hold_and_deliver() {
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  Netlink links = must(Netlink::open());
  must(links.add_veth("outer", "inner", HostPid(::gettid())));
  must(links.set_mac("inner", must(parse_mac("02:00:00:00:00:05"))));
  for (const char* link : {"lo", "outer", "inner"}) must(links.set_up(link));
  must(links.add_address("outer", must(parse_prefix("10.9.0.1/24"))));
  auto held = must(PacketSocket::open_for_station("outer", must(parse_mac("02:00:00:00:00:05"))));
  send_datagram("10.9.0.5", 9);  // nobody answers ARP: the request itself must be held
  pollfd ready{.fd = held.fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&ready, 1, kDeadlineMilliseconds), 1);
  auto frame = must(held.receive());
  ASSERT_FALSE(frame.empty());

  auto inside = must(PacketSocket::open_for_station("inner", must(parse_mac("02:00:00:00:00:05"))));
  while (!must(inside.receive()).empty()) continue;
  must(must(PacketSocket::open_for_sending("outer")).send(frame));
  ready.fd = inside.fd();
  ASSERT_EQ(::poll(&ready, 1, kDeadlineMilliseconds), 1);
  EXPECT_FALSE(must(inside.receive()).empty());
}

TEST(PacketSocket, WhatIsHeldCanBeDelivered) {
  std::thread(hold_and_deliver).join();
}

TEST(PacketSocket, RefusesImpossibleFrames) {
  auto socket = must(PacketSocket::open_for_sending("lo"));
  std::vector<std::byte> tiny(4);
  EXPECT_EQ(socket.send(tiny).error().code(), Code::kInvalidArgument);
}

TEST(PacketSocket, NamesALinkThatDoesNotExist) {
  auto missing = PacketSocket::open_for_sending("nolink0");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().to_string().find("nolink0"), std::string::npos);
}

}  // namespace
}  // namespace martlet::sys
