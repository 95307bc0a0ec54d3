#include "engine/sockets/udp_socket.h"

#include <arpa/inet.h>
#include <netinet/udp.h>

#include "engine/sockets/socket_test_support.h"

namespace martlet::engine {
namespace {

HostPid self() {
  return HostPid(::getpid());
}

std::string any_port(const char* address) {
  sys::InetEndpoint endpoint;
  endpoint.v6 = std::string_view(address).find(':') != std::string_view::npos;
  ::inet_pton(endpoint.v6 ? AF_INET6 : AF_INET, address, endpoint.address.data());
  return sys::to_address(endpoint);
}

Fd bound(const std::string& address) {
  Fd fd(::socket(sys::family_of(address), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  expect_ok(sys::bind_address(fd.get(), address));
  return fd;
}

void send_to(int fd, const std::string& address, std::string_view text) {
  ASSERT_EQ(
      ::sendto(fd, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(address.data()),
               static_cast<socklen_t>(address.size())),
      static_cast<ssize_t>(text.size()))
      << std::strerror(errno);
}

struct Received {
  std::string data;
  std::string sender;
};

Received receive(int fd) {
  Received received;
  received.data.resize(70000);
  received.sender.resize(sizeof(sockaddr_storage));
  auto length = static_cast<socklen_t>(received.sender.size());
  EXPECT_TRUE(wait_for_event(fd, POLLIN));
  ssize_t got = ::recvfrom(fd, received.data.data(), received.data.size(), MSG_DONTWAIT,
                           reinterpret_cast<sockaddr*>(received.sender.data()), &length);
  EXPECT_GE(got, 0) << std::strerror(errno);
  received.data.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  received.sender.resize(length);
  return received;
}

bool is_empty(int fd) {
  char byte = 0;
  return ::recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

std::vector<Fd> move(std::vector<Fd> originals) {
  std::vector<int> fds;
  for (const Fd& fd : originals) fds.push_back(fd.get());
  CapturedSockets captured(self());
  expect_ok(captured.capture(udp_socket_kind(), fds));
  originals.clear();
  return expect_ok(restore(udp_socket_kind(), captured.files(), self()));
}

class UdpSockets : public NetworkTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(UdpSockets, QueuedDatagramsKeepTheirSenders) {
  Fd receiver = bound(any_port(GetParam()));
  Fd sender = bound(any_port(GetParam()));
  Fd other = bound(any_port(GetParam()));
  std::string name = *sys::local_address(receiver.get());
  std::string sender_name = *sys::local_address(sender.get());
  std::string other_name = *sys::local_address(other.get());
  std::string large = pattern(60000);
  send_to(sender.get(), name, "one");
  send_to(other.get(), name, "");
  send_to(sender.get(), name, large);
  std::vector<Fd> all;
  all.push_back(std::move(receiver));
  all.push_back(std::move(sender));
  all = move(std::move(all));
  Received first = receive(all[0].get());
  EXPECT_EQ(first.data, "one");
  EXPECT_EQ(first.sender, sender_name);
  Received second = receive(all[0].get());
  EXPECT_EQ(second.data, "");
  EXPECT_EQ(second.sender, other_name);
  EXPECT_TRUE(receive(all[0].get()).data == large);
  EXPECT_TRUE(is_empty(all[0].get()));
  send_to(all[0].get(), sender_name, "reply");
  EXPECT_EQ(receive(all[1].get()).data, "reply");
}

TEST_P(UdpSockets, EmptyDatagramsAreSeenByEveryCapture) {
  Fd receiver = bound(any_port(GetParam()));
  Fd sender = bound(any_port(GetParam()));
  for (const char* text : {"", "one", "", ""})
    send_to(sender.get(), *sys::local_address(receiver.get()), text);
  for (int round = 0; round < 3; ++round) {
    CapturedSockets captured(self());
    expect_ok(captured.capture(udp_socket_kind(), {receiver.get(), sender.get()}));
    captured.thaw();
    ASSERT_EQ(captured.files()[0].udp().queue_size(), 4) << "round " << round;
  }
  for (const char* text : {"", "one", "", ""}) {
    Received got = receive(receiver.get());
    EXPECT_EQ(got.data, text);
    EXPECT_EQ(got.sender, *sys::local_address(sender.get()));
  }
  EXPECT_TRUE(is_empty(receiver.get()));
}

TEST_P(UdpSockets, ConnectedSocketStaysConnected) {
  Fd server = bound(any_port(GetParam()));
  std::string name = *sys::local_address(server.get());
  Fd client(::socket(sys::family_of(name), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  expect_ok(sys::connect_address(client.get(), name));
  std::string client_name = *sys::local_address(client.get());
  send_to(server.get(), client_name, "queued");
  std::vector<Fd> all;
  all.push_back(std::move(client));
  all = move(std::move(all));
  EXPECT_EQ(*sys::local_address(all[0].get()), client_name);
  EXPECT_EQ(*sys::remote_address(all[0].get()), name);
  EXPECT_EQ(receive(all[0].get()).data, "queued");
  send_all(all[0].get(), "again");
  EXPECT_EQ(receive(server.get()).sender, client_name);
  Fd stranger = bound(any_port(GetParam()));
  send_to(stranger.get(), client_name, "stranger");
  EXPECT_TRUE(is_empty(all[0].get()));
}

TEST_P(UdpSockets, WildcardAndOptions) {
  bool v6 = std::string_view(GetParam()) == "::1";
  Fd receiver = bound(any_port(v6 ? "::" : "0.0.0.0"));
  sys::InetEndpoint endpoint = expect_ok(sys::parse_endpoint(*sys::local_address(receiver.get())));
  sys::InetEndpoint target = expect_ok(sys::parse_endpoint(any_port(GetParam())));
  target.port = endpoint.port;
  expect_ok(sys::set_int_option(receiver.get(), SOL_SOCKET, SO_BROADCAST, 1));
  expect_ok(sys::set_int_option(receiver.get(), SOL_SOCKET, SO_RCVBUF, 30000));
  expect_ok(sys::set_int_option(receiver.get(), SOL_SOCKET, SO_REUSEPORT, 1));
  Fd sender = bound(any_port(GetParam()));
  send_to(sender.get(), sys::to_address(target), "to a wildcard");
  auto before = sys::read_socket_options(receiver.get());
  std::vector<Fd> all;
  all.push_back(std::move(receiver));
  all = move(std::move(all));
  auto after = sys::read_socket_options(all[0].get());
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_EQ(after[i].value, before[i].value) << before[i].level << "/" << before[i].name;
  Received received = receive(all[0].get());
  EXPECT_EQ(received.data, "to a wildcard");
  EXPECT_EQ(received.sender, *sys::local_address(sender.get()));
}

TEST_P(UdpSockets, FreshSocketMoves) {
  std::vector<Fd> all;
  all.emplace_back(::socket(sys::family_of(any_port(GetParam())), SOCK_DGRAM | SOCK_NONBLOCK, 0));
  all = move(std::move(all));
  EXPECT_NE(::fcntl(all[0].get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(expect_ok(sys::parse_endpoint(*sys::local_address(all[0].get()))).port, 0);
}

TEST_P(UdpSockets, JoinedDatagramsComeOneByOne) {
  Fd receiver = bound(any_port(GetParam()));
  Fd sender = bound(any_port(GetParam()));
  expect_ok(sys::set_int_option(receiver.get(), IPPROTO_UDP, UDP_GRO, 1));
  expect_ok(sys::set_int_option(sender.get(), IPPROTO_UDP, UDP_SEGMENT, 100));
  std::string text = pattern(250);
  send_to(sender.get(), *sys::local_address(receiver.get()), text);
  std::vector<Fd> all;
  all.push_back(std::move(receiver));
  all = move(std::move(all));
  for (size_t at = 0; at < text.size(); at += 100)
    EXPECT_EQ(receive(all[0].get()).data, text.substr(at, 100));
  EXPECT_TRUE(is_empty(all[0].get()));
}

TEST_P(UdpSockets, SharedPortKeepsEachQueue) {
  std::string address = any_port(GetParam());
  std::vector<Fd> all;
  for (int i = 0; i < 3; ++i) {
    all.emplace_back(::socket(sys::family_of(address), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    expect_ok(sys::set_int_option(all.back().get(), SOL_SOCKET, SO_REUSEADDR, 1));
    expect_ok(sys::bind_address(all.back().get(), address));
    address = *sys::local_address(all.back().get());
    Fd sender = bound(any_port(GetParam()));
    send_to(sender.get(), address, std::to_string(i));  // the last to be bound gets it
  }
  all = move(std::move(all));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(receive(all[static_cast<size_t>(i)].get()).data, std::to_string(i));
    EXPECT_TRUE(is_empty(all[static_cast<size_t>(i)].get()));
  }
}

TEST_P(UdpSockets, CollectedDatagramIsRefusedAndSent) {
  Fd receiver = bound(any_port(GetParam()));
  Fd sender = bound(any_port(GetParam()));
  expect_ok(sys::connect_address(sender.get(), *sys::local_address(receiver.get())));
  ASSERT_EQ(::send(sender.get(), "ab", 2, MSG_MORE), 2);
  {
    CapturedSockets captured(self());
    auto refused = captured.capture(udp_socket_kind(), {sender.get()});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kUnsupported);
    captured.thaw();
  }
  EXPECT_TRUE(is_empty(receiver.get()));
  ASSERT_EQ(::send(sender.get(), "c", 1, 0), 1);
  EXPECT_EQ(receive(receiver.get()).data, "abc");
}

INSTANTIATE_TEST_SUITE_P(Families, UdpSockets, ::testing::Values("127.0.0.1", "::1"),
                         [](const auto& family) { return family.index == 0 ? "v4" : "v6"; });

}  // namespace
}  // namespace martlet::engine
