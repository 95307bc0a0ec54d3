// A bridge in a network namespace of the test's own, with a peer and a container's port, whose
// other ends the test holds.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <optional>

#include "migrate/detour.h"
#include "migrate/test_util.h"
#include "sys/netlink.h"
#include "sys/tap.h"

namespace martlet::migrate {

inline constexpr int kFrameDeadlineMs = 10'000;

class Switch : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = must(open_file("/proc/thread-self/ns/net", O_RDONLY));
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    netlink_.emplace(must(sys::Netlink::open()));
    must(netlink_->set_up("lo"));
    must(netlink_->add_bridge("br0"));
    must(netlink_->disable_autoconfiguration("br0"));
    must(netlink_->set_up("br0"));
    peer_.emplace(add_link("peer"));
    own_.emplace(add_link("own"));
    attach("peer");
  }

  void TearDown() override { ::setns(before_.get(), CLONE_NEWNET); }

  sys::Tap add_link(const char* name) {
    auto tap = must(sys::Tap::create(name));
    must(netlink_->disable_autoconfiguration(name));
    must(netlink_->set_up(name));
    return tap;
  }
  void attach(const char* link) { must(netlink_->set_master(link, "br0")); }

  NetworkPort port() const { return {"br0", "own", container_, {must(sys::parse_ip("10.9.0.5"))}}; }

  // A frame with a number in it, of a type that no network stack knows.
  static sys::Frame numbered(sys::MacAddress from, sys::MacAddress to, uint8_t number) {
    sys::Frame frame(sys::kOffloadHeaderBytes);
    for (uint8_t byte : to.bytes) frame.push_back(std::byte{byte});
    for (uint8_t byte : from.bytes) frame.push_back(std::byte{byte});
    for (uint8_t byte : {0x88, 0xb5}) frame.push_back(std::byte{byte});
    frame.resize(sys::kOffloadHeaderBytes + 64, std::byte{number});
    return frame;
  }
  sys::Frame for_container(uint8_t number) const { return numbered(other_, container_, number); }
  sys::Frame to_all(uint8_t number) const { return numbered(other_, everyone_, number); }

  // The numbers of the next frames, without those of the kernel itself. A number that is missing
  // shows as a failure after the deadline.
  template <typename End>
  static std::vector<int> receive(End& end, size_t count) {
    std::vector<int> numbers;
    while (numbers.size() < count) {
      pollfd ready{.fd = end.fd(), .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, kFrameDeadlineMs) != 1) {
        ADD_FAILURE() << "no frame";
        break;
      }
      if (auto number = number_of(must(end.receive()))) numbers.push_back(*number);
    }
    return numbers;
  }
  // Frames pass a bridge within the call that sends them, so what is not here will not come.
  template <typename End>
  static std::vector<int> receive_waiting(End& end) {
    std::vector<int> numbers;
    for (;;) {
      auto frame = must(end.receive());
      if (frame.empty()) return numbers;
      if (auto number = number_of(frame)) numbers.push_back(*number);
    }
  }
  static std::optional<int> number_of(const sys::Frame& frame) {
    constexpr size_t kType = sys::kOffloadHeaderBytes + 12;
    if (frame.size() < 64 || frame[kType] != std::byte{0x88} || frame[kType + 1] != std::byte{0xb5})
      return std::nullopt;
    return static_cast<int>(frame.back());
  }

  Fd before_;  // the namespace of the other tests
  const sys::MacAddress other_ = must(sys::parse_mac("02:00:00:00:00:01"));
  const sys::MacAddress container_ = must(sys::parse_mac("02:00:00:00:00:05"));
  const sys::MacAddress everyone_{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
  std::optional<sys::Netlink> netlink_;
  std::optional<sys::Tap> peer_;
  std::optional<sys::Tap> own_;  // the other end of the container's port
};

}  // namespace martlet::migrate
