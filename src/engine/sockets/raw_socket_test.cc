#include "engine/sockets/raw_socket.h"

#include "engine/sockets/packet_socket.h"
#include "engine/sockets/socket_test_support.h"

namespace martlet::engine {
namespace {

constexpr int kProtocol = 253;  // for experiments

HostPid self() {
  return HostPid(::getpid());
}

std::string loopback(int family) {
  sys::InetEndpoint endpoint;
  endpoint.v6 = family == AF_INET6;
  endpoint.address = {127, 0, 0, 1};
  if (endpoint.v6) endpoint.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return sys::to_address(endpoint);
}

Fd move(const FileKind& kind, Fd original) {
  CapturedSockets captured(self());
  expect_ok(captured.capture(kind, {original.get()}));
  original.reset();
  auto all = expect_ok(restore(kind, captured.files(), self()));
  return std::move(all[0]);
}

bool is_empty(int fd) {
  char byte = 0;
  return ::recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

class RawSockets : public NetworkTest, public ::testing::WithParamInterface<int> {};

TEST_P(RawSockets, KeepsItsAddressesAndDropsWhatWasUnread) {
  Fd fd(::socket(GetParam(), SOCK_RAW, kProtocol));
  expect_ok(sys::bind_address(fd.get(), loopback(GetParam())));
  expect_ok(sys::connect_address(fd.get(), loopback(GetParam())));
  ASSERT_EQ(::send(fd.get(), "before", 6, 0), 6);
  std::string name = *sys::local_address(fd.get());
  Fd moved = move(raw_socket_kind(), std::move(fd));
  EXPECT_EQ(*sys::local_address(moved.get()), name);
  EXPECT_TRUE(is_empty(moved.get()));
  ASSERT_EQ(::send(moved.get(), "after", 5, 0), 5);
  size_t header = GetParam() == AF_INET ? 20 : 0;
  EXPECT_EQ(receive_exactly(moved.get(), header + 5).substr(header), "after");
}

TEST_P(RawSockets, CollectedPacketIsRefusedAndSent) {
  Fd fd(::socket(GetParam(), SOCK_RAW, kProtocol));
  expect_ok(sys::connect_address(fd.get(), loopback(GetParam())));
  ASSERT_EQ(::send(fd.get(), "ab", 2, MSG_MORE), 2);
  {
    CapturedSockets captured(self());
    auto refused = captured.capture(raw_socket_kind(), {fd.get()});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kUnsupported);
    captured.thaw();
  }
  ASSERT_EQ(::send(fd.get(), "c", 1, 0), 1);
  size_t header = GetParam() == AF_INET ? 20 : 0;
  EXPECT_EQ(receive_exactly(fd.get(), header + 3).substr(header), "abc");
}

TEST_P(RawSockets, ImpossibleTypeIsRefused) {
  image::File file;
  file.set_id(1);
  file.mutable_raw_socket()->set_family(static_cast<uint32_t>(GetParam()));
  file.mutable_raw_socket()->set_type(SOCK_STREAM);
  auto made = restore(raw_socket_kind(), {file}, self());
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), Code::kBadImage);
}

INSTANTIATE_TEST_SUITE_P(Families, RawSockets, ::testing::Values(AF_INET, AF_INET6),
                         [](const auto& family) { return family.index == 0 ? "v4" : "v6"; });

using PacketSockets = NetworkTest;

TEST_F(PacketSockets, FreshSocketReceivesNothing) {
  Fd fd(::socket(AF_PACKET, SOCK_DGRAM, 0));
  Fd moved = move(packet_socket_kind(), std::move(fd));
  Fd sender(::socket(AF_INET, SOCK_RAW, kProtocol));
  std::string to = loopback(AF_INET);
  ASSERT_EQ(::sendto(sender.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(to.data()),
                     static_cast<socklen_t>(to.size())),
            1);
  EXPECT_TRUE(is_empty(moved.get()));
}

TEST_F(PacketSockets, ImpossibleImagesAreRefused) {
  image::File file;
  file.set_id(1);
  file.mutable_packet_socket()->set_type(SOCK_STREAM);
  EXPECT_FALSE(restore(packet_socket_kind(), {file}, self()));
  file.mutable_packet_socket()->set_type(SOCK_RAW);
  file.mutable_packet_socket()->set_device(std::string(64, 'x'));
  EXPECT_FALSE(restore(packet_socket_kind(), {file}, self()));
  file.mutable_packet_socket()->set_device("lo");
  file.mutable_packet_socket()->add_memberships()->set_address(std::string(64, 'x'));
  EXPECT_FALSE(restore(packet_socket_kind(), {file}, self()));
}

}  // namespace
}  // namespace martlet::engine
