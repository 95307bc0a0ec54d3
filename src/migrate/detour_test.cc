#include "migrate/detour.h"

#include <gmock/gmock.h>

#include "migrate/packet_hold.h"
#include "migrate/packet_inbox.h"
#include "migrate/switch_test_util.h"

namespace martlet::migrate {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DetourTest : public Switch {
 protected:
  void SetUp() override {
    Switch::SetUp();
    attach("own");
    must(own_->send(numbered(container_, other_, 0)));  // the bridge learns where it is
    receive(*peer_, 1);
    detour_ = must(Detour::open(port(), Detour::Side::kDestination));
  }
  std::unique_ptr<Detour> detour_;
};

TEST_F(DetourTest, ReceivesNothingBeforeItBegins) {
  must(peer_->send(for_container(1)));
  must(peer_->send(to_all(2)));
  EXPECT_THAT(receive(*own_, 2), ElementsAre(1, 2));
  EXPECT_THAT(receive_waiting(*detour_), IsEmpty());
}

TEST_F(DetourTest, TakesEveryFrameThatTheContainerDoesNotGet) {
  must(peer_->send(for_container(1)));
  must(detour_->begin(Detour::Flooding::kGroups));
  must(peer_->send(for_container(2)));
  must(own_->send(numbered(container_, other_, 3)));  // the bridge hears it at its old port
  must(peer_->send(for_container(4)));
  must(netlink_->clear_master("own"));
  must(peer_->send(to_all(5)));
  must(peer_->send(for_container(6)));
  EXPECT_THAT(receive_waiting(*own_), ElementsAre(1));
  EXPECT_THAT(receive(*detour_, 4), ElementsAre(2, 4, 5, 6));
}

TEST_F(DetourTest, GivesTheFramesBack) {
  must(detour_->begin(Detour::Flooding::kGroups));
  must(netlink_->clear_master("own"));
  attach("own");
  must(peer_->send(for_container(1)));
  must(detour_->end());
  must(peer_->send(for_container(2)));
  must(peer_->send(to_all(3)));
  EXPECT_THAT(receive(*detour_, 1), ElementsAre(1));
  EXPECT_THAT(receive(*own_, 2), ElementsAre(2, 3));
}

TEST_F(DetourTest, LeavesNothingBehind) {
  must(detour_->begin(Detour::Flooding::kNone));
  detour_.reset();
  must(peer_->send(for_container(1)));
  EXPECT_THAT(receive(*own_, 1), ElementsAre(1));
  EXPECT_FALSE(netlink_->index_of("down"));
}

TEST_F(DetourTest, SpeaksInTheContainersName) {
  must(netlink_->clear_master("own"));
  must(detour_->begin(Detour::Flooding::kNone));
  must(detour_->send(numbered(container_, other_, 1)));
  EXPECT_THAT(receive(*peer_, 1), ElementsAre(1));
}

TEST_F(DetourTest, LosesNothingWhenItIsReleased) {
  must(netlink_->clear_master("own"));
  must(detour_->begin(Detour::Flooding::kNone));
  must(peer_->send(for_container(1)));
  must(detour_->release());
  attach("own");  // plays the uplink
  must(peer_->send(for_container(2)));
  EXPECT_THAT(receive_waiting(*detour_), ElementsAre(1));
  EXPECT_THAT(receive(*own_, 1), ElementsAre(2));
}

class PacketInboxTest : public Switch {
 protected:
  void SetUp() override {
    Switch::SetUp();
    must(inbox_.open(port()));
  }
  PacketInbox inbox_;
};

TEST_F(PacketInboxTest, DeliversInTheOrderOfSending) {
  inbox_.add({for_container(1)}, false);
  must(inbox_.take_over());
  attach("own");
  must(inbox_.announce());
  must(peer_->send(for_container(4)));
  inbox_.add({for_container(2)}, false);
  EXPECT_THAT(receive_waiting(*own_), IsEmpty());
  inbox_.deliver();
  EXPECT_THAT(receive(*own_, 2), ElementsAre(1, 2));
  inbox_.add({for_container(3)}, true);
  inbox_.settle();
  must(peer_->send(for_container(5)));
  EXPECT_THAT(receive(*own_, 3), ElementsAre(3, 4, 5));
}

TEST_F(PacketInboxTest, SendsWhatWasSentBeforeTheCommit) {
  must(own_->send(numbered(container_, other_, 1)));
  EXPECT_THAT(receive_waiting(*peer_), IsEmpty());
  must(inbox_.take_over());
  attach("own");
  must(inbox_.announce());
  EXPECT_THAT(receive(*peer_, 1), ElementsAre(1));
  std::vector<sys::Frame> others;  // the kernel may send some of its own meanwhile
  for (auto frame = must(peer_->receive()); !frame.empty(); frame = must(peer_->receive()))
    others.push_back(frame);
  EXPECT_THAT(others, Contains(sys::make_announcement(container_, port().addresses[0])));
}

TEST_F(PacketInboxTest, LaterFramesOfTheSourceGoStraightToTheContainer) {
  must(inbox_.take_over());
  attach("own");
  inbox_.deliver();
  inbox_.add({}, true);
  inbox_.settle();
  inbox_.add({for_container(1)}, false);
  EXPECT_THAT(receive(*own_, 1), ElementsAre(1));
}

// The source and its connection to a destination that the test plays.
class PacketHoldTest : public Switch {
 protected:
  void SetUp() override {
    Switch::SetUp();
    attach("own");
    auto pair =
        connect_pair(authority_.context_of("host-a"), authority_.context_of("host-b"), "host-b");
    destination_.emplace(std::move(pair.server));
    hold_ = must(PacketHold::open(port(), std::move(pair.client)));
  }

  void hold() {
    must(hold_->begin());
    must(netlink_->clear_master("own"));
  }

  // What comes until the word that no more will.
  std::vector<int> receive_to_last() {
    std::vector<int> numbers;
    for (bool last = false; !last;) {
      auto message = must(destination_->expect(protocol::Message::kHeldFrames));
      for (const std::string& text : message.held_frames().frames()) {
        auto bytes = std::as_bytes(std::span(text));
        if (auto number = number_of({bytes.begin(), bytes.end()})) numbers.push_back(*number);
      }
      last = message.held_frames().last();
    }
    return numbers;
  }

  TestAuthority authority_;
  std::optional<MessageChannel> destination_;
  std::unique_ptr<PacketHold> hold_;
};

TEST_F(PacketHoldTest, PassesOnWhatComesBeforeTheAnnouncement) {
  must(peer_->send(for_container(1)));
  hold();
  must(peer_->send(for_container(2)));
  must(peer_->send(to_all(3)));
  hold_->forward();
  must(peer_->send(for_container(4)));
  must(peer_->send(sys::make_announcement(container_, port().addresses[0])));
  EXPECT_THAT(receive_to_last(), ElementsAre(2, 3, 4));
}

TEST_F(PacketHoldTest, ForwardsStragglersButNothingThatComesToBothHosts) {
  hold();
  hold_->forward();
  must(peer_->send(sys::make_announcement(container_, port().addresses[0])));
  EXPECT_THAT(receive_to_last(), IsEmpty());
  hold_->moved();
  must(peer_->send(to_all(1)));
  must(peer_->send(for_container(2)));
  hold_->finish();
  auto message = must(destination_->expect(protocol::Message::kHeldFrames));
  ASSERT_EQ(message.held_frames().frames_size(), 1);
  EXPECT_EQ(message.held_frames().frames(0).back(), 2);
}

TEST_F(PacketHoldTest, SaysThatNoMoreComesAlsoIfTheAnnouncementIsNotHeard) {
  hold();
  hold_->forward();
  must(peer_->send(for_container(1)));
  hold_->moved();
  EXPECT_THAT(receive_to_last(), ElementsAre(1));
}

TEST_F(PacketHoldTest, GivesEverythingBackInOrder) {
  hold();
  must(peer_->send(for_container(1)));
  hold_->forward();
  must(peer_->send(for_container(2)));
  attach("own");
  must(peer_->send(for_container(3)));
  must(hold_->deliver_here());
  must(peer_->send(for_container(4)));
  EXPECT_THAT(receive(*own_, 4), ElementsAre(1, 2, 3, 4));
}

// The first segment of a TCP connection over IPv6, which number_of() does not know.
sys::Frame make_request(const sys::Frame& like) {
  constexpr size_t kPacket = sys::kOffloadHeaderBytes + sys::kEthernetHeaderBytes;
  constexpr size_t kSegment = kPacket + 40;
  sys::Frame frame(like.begin(), like.begin() + kPacket);
  frame.resize(kSegment + 20);
  auto set = [&frame](size_t at, uint8_t value) { frame[at] = std::byte{value}; };
  set(kPacket - 2, 0x86);
  set(kPacket - 1, 0xdd);
  set(kPacket, 0x60);
  set(kPacket + 5, 20);        // bytes after the header
  set(kPacket + 6, 6);         // TCP
  set(kSegment + 12, 5 << 4);  // words of the TCP header
  set(kSegment + 13, 2);       // SYN
  return frame;
}

TEST_F(PacketHoldTest, HoldsNewConnectionsBackAndLetsTheRestPass) {
  const sys::Frame request = make_request(for_container(0));
  must(hold_->hold_back_connections());
  must(peer_->send(request));
  must(peer_->send(for_container(1)));
  EXPECT_THAT(receive(*own_, 1), ElementsAre(1));
  must(hold_->deliver_here());
  sys::Frame held = must(own_->receive());
  while (!held.empty() && held != request) held = must(own_->receive());  // of the kernel itself
  EXPECT_EQ(held, request);
  must(peer_->send(for_container(2)));
  EXPECT_THAT(receive(*own_, 1), ElementsAre(2));
}

TEST_F(PacketHoldTest, PassesOnConnectionsThatItHeldBack) {
  const sys::Frame request = make_request(for_container(0));
  must(hold_->hold_back_connections());
  must(peer_->send(request));
  must(peer_->send(for_container(1)));
  EXPECT_THAT(receive(*own_, 1), ElementsAre(1));
  hold();
  hold_->forward();
  auto message = must(destination_->expect(protocol::Message::kHeldFrames));
  ASSERT_EQ(message.held_frames().frames_size(), 1);
  EXPECT_TRUE(
      std::ranges::equal(std::as_bytes(std::span(message.held_frames().frames(0))), request));
}

TEST_F(PacketHoldTest, CanBeginAgain) {
  hold();
  must(peer_->send(for_container(1)));
  attach("own");
  must(hold_->deliver_here());
  hold();
  must(peer_->send(for_container(2)));
  hold_->forward();
  hold_->moved();
  EXPECT_THAT(receive(*own_, 1), ElementsAre(1));
  EXPECT_THAT(receive_to_last(), ElementsAre(2));
}

}  // namespace
}  // namespace martlet::migrate
