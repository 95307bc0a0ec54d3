#include "sys/packet_socket.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/test_util.h"
#include "sys/netlink.h"

namespace martlet::sys {
namespace {

constexpr int kDeadlineMilliseconds = 10'000;

Frame announcement_of(const char* address) {
  return make_announcement(must(parse_mac("02:00:00:00:00:05")), must(parse_ip(address)));
}

Frame next_frame(PacketSocket& socket) {
  pollfd ready{.fd = socket.fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&ready, 1, kDeadlineMilliseconds), 1);
  return must(socket.receive());
}

void talk() {
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  Netlink links = must(Netlink::open());
  must(links.add_veth("outer", "inner", HostPid(::gettid())));
  for (const char* link : {"outer", "inner"}) {
    must(links.disable_autoconfiguration(link));
    must(links.set_up(link));
  }
  auto outer = must(PacketSocket::open("outer"));
  auto inner = must(PacketSocket::open_for_sending("inner"));
  must(outer.send(announcement_of("10.9.0.1")));  // its own frames do not come back
  must(inner.send(announcement_of("10.9.0.2")));
  must(inner.send(announcement_of("fd09::2")));
  EXPECT_EQ(next_frame(outer), announcement_of("10.9.0.2"));
  EXPECT_EQ(next_frame(outer), announcement_of("fd09::2"));
  EXPECT_TRUE(must(outer.receive()).empty());
}

TEST(PacketSocket, ReceivesWhatComesFromTheOtherEnd) {
  std::thread(talk).join();
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

TEST(EthernetFrame, TellsWhoSentItAndToWhom) {
  Frame frame = announcement_of("10.9.0.2");
  EXPECT_TRUE(is_frame(frame));
  EXPECT_TRUE(is_to_group(frame));
  EXPECT_EQ(source_of(frame), must(parse_mac("02:00:00:00:00:05")));
  frame[kOffloadHeaderBytes] = std::byte{0xfe};
  EXPECT_FALSE(is_to_group(frame));
  frame.resize(kOffloadHeaderBytes + kEthernetHeaderBytes - 1);
  EXPECT_FALSE(is_frame(frame));
}

Frame segment(bool v6, uint8_t flags) {
  Frame frame(kOffloadHeaderBytes + 12);
  for (int byte : v6 ? std::array{0x86, 0xdd} : std::array{0x08, 0x00})
    frame.push_back(static_cast<std::byte>(byte));
  const size_t packet = frame.size();
  frame.resize(packet + (v6 ? 40 : 24) + 20);  // IPv4 with an option
  frame[packet] = static_cast<std::byte>(v6 ? 0x60 : 0x46);
  frame[packet + (v6 ? 6 : 9)] = std::byte{IPPROTO_TCP};
  frame[packet + (v6 ? 40 : 24) + 13] = std::byte{flags};
  return frame;
}

TEST(EthernetFrame, KnowsTheFirstSegmentOfAConnection) {
  constexpr uint8_t kSyn = 2;
  constexpr uint8_t kAcknowledge = 16;
  for (bool v6 : {false, true}) {
    EXPECT_TRUE(is_connection_request(segment(v6, kSyn)));
    EXPECT_FALSE(is_connection_request(segment(v6, kSyn | kAcknowledge)));
    EXPECT_FALSE(is_connection_request(segment(v6, kAcknowledge)));
    Frame cut = segment(v6, kSyn);
    cut.resize(cut.size() - 10);
    EXPECT_FALSE(is_connection_request(cut));
  }
  EXPECT_FALSE(is_connection_request(announcement_of("10.9.0.2")));
}

}  // namespace
}  // namespace martlet::sys
