#include "engine/sockets/tcp_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <future>
#include <optional>

#include "engine/sockets/abandoned.h"
#include "engine/sockets/connections_in_setup.h"
#include "engine/sockets/socket_test_support.h"
#include "sys/tcp_repair.h"

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

Fd new_socket(const std::string& address, int flags = 0) {
  return Fd(::socket(sys::family_of(address), SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

Fd listen_on(const std::string& address, int reuse = 0) {
  Fd fd = new_socket(address);
  expect_ok(sys::set_int_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, reuse));
  EXPECT_TRUE(sys::bind_address(fd.get(), address));
  EXPECT_EQ(::listen(fd.get(), 7), 0);
  return fd;
}

struct Pair {
  Fd client;
  Fd server;
};

Pair connect_to(int listener) {
  std::string address = *sys::local_address(listener);
  Pair pair{new_socket(address), Fd()};
  EXPECT_TRUE(sys::connect_address(pair.client.get(), address));
  pair.server = Fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  return pair;
}

uint8_t state_of(int fd) {
  return expect_ok(sys::tcp_information(fd)).tcpi_state;
}

bool reaches_state(int fd, uint8_t state) {
  for (int i = 0; i < kDeadlineMs; ++i) {
    if (state_of(fd) == state) return true;
    ::poll(nullptr, 0, 1);
  }
  return false;
}

void expect_talk(int a, int b) {
  send_all(a, "from a to b");
  EXPECT_EQ(receive_exactly(b, 11), "from a to b");
  send_all(b, "from b to a");
  EXPECT_EQ(receive_exactly(a, 11), "from b to a");
}

// Writes until the queues of both ends are full; returns what was written.
std::string fill(int fd) {
  std::string bytes = pattern(64u << 20);
  size_t done = 0;
  // The peer's buffer grows as acknowledgements come, so the end is where nothing moves for a
  // while.
  pollfd state{fd, POLLOUT, 0};
  while (::poll(&state, 1, 300) == 1) {
    ssize_t put = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put > 0) done += static_cast<size_t>(put);
  }
  bytes.resize(done);
  return bytes;
}

class TcpLoopback : public NetworkTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    listener_ = listen_on(any_port(GetParam()));
    pair_ = connect_to(listener_.get());
  }

  // Captures both ends, lets them vanish and rebuilds them.
  Pair move_both() {
    Pair moved;
    CapturedSockets captured(self());
    expect_ok(captured.capture(tcp_socket_kind(), {pair_.client.get(), pair_.server.get()}));
    pair_ = {};
    auto fds = expect_ok(restore(tcp_socket_kind(), captured.files(), self()));
    return {std::move(fds[0]), std::move(fds[1])};
  }

  Fd listener_;
  Pair pair_;
};

TEST_P(TcpLoopback, BothEndsMove) {
  std::string names[] = {*sys::local_address(pair_.client.get()),
                         *sys::local_address(pair_.server.get())};
  send_all(pair_.client.get(), "unread by the server");
  send_all(pair_.server.get(), "unread by the client");
  Pair moved = move_both();
  EXPECT_EQ(*sys::local_address(moved.client.get()), names[0]);
  EXPECT_EQ(*sys::remote_address(moved.client.get()), names[1]);
  EXPECT_EQ(receive_exactly(moved.server.get(), 20), "unread by the server");
  EXPECT_EQ(receive_exactly(moved.client.get(), 20), "unread by the client");
  expect_talk(moved.client.get(), moved.server.get());
  moved.client.reset();
  EXPECT_TRUE(at_end_of_stream(moved.server.get()));
}

// Whoever captured both died: nobody undoes what that did to them.
TEST_P(TcpLoopback, AbandonedSocketsSpeakAgain) {
  for (int fd : {pair_.client.get(), pair_.server.get()})
    expect_ok(sys::set_tcp_repair(fd, sys::RepairMode::kOn));
  expect_ok(sys::DropEverything::load().attach(pair_.client.get()));
  expect_ok(sys::write_socket_filter(pair_.server.get(), sys::drop_everything_filter()));
  EXPECT_EQ(revive_sockets_of(self()), 2u);
  expect_talk(pair_.client.get(), pair_.server.get());
  EXPECT_EQ(revive_sockets_of(self()), 0u);
}

TEST_P(TcpLoopback, MovesWithFullQueues) {
  std::string sent = fill(pair_.client.get());
  ASSERT_GT(sent.size(), 100000u);
  Pair moved = move_both();
  EXPECT_TRUE(receive_exactly(moved.server.get(), sent.size()) == sent);
  expect_talk(moved.client.get(), moved.server.get());
}

TEST_P(TcpLoopback, ClientHasEnded) {
  send_all(pair_.client.get(), "last words");
  ASSERT_EQ(::shutdown(pair_.client.get(), SHUT_WR), 0);
  ASSERT_TRUE(reaches_state(pair_.server.get(), TCP_CLOSE_WAIT));
  ASSERT_TRUE(reaches_state(pair_.client.get(), TCP_FIN_WAIT2));
  Pair moved = move_both();
  EXPECT_EQ(state_of(moved.server.get()), TCP_CLOSE_WAIT);
  EXPECT_TRUE(reaches_state(moved.client.get(), TCP_FIN_WAIT2));
  EXPECT_EQ(receive_exactly(moved.server.get(), 10), "last words");
  EXPECT_TRUE(at_end_of_stream(moved.server.get()));
  send_all(moved.server.get(), "answer");
  EXPECT_EQ(receive_exactly(moved.client.get(), 6), "answer");
  moved.server.reset();
  EXPECT_TRUE(at_end_of_stream(moved.client.get()));
}

TEST_P(TcpLoopback, EndWaitsBehindAFullWindow) {
  std::string sent = fill(pair_.client.get());
  ASSERT_EQ(::shutdown(pair_.client.get(), SHUT_WR), 0);
  ASSERT_EQ(state_of(pair_.client.get()), TCP_FIN_WAIT1);
  Pair moved = move_both();
  EXPECT_EQ(state_of(moved.client.get()), TCP_FIN_WAIT1);
  EXPECT_TRUE(receive_exactly(moved.server.get(), sent.size()) == sent);
  EXPECT_TRUE(at_end_of_stream(moved.server.get()));
  EXPECT_TRUE(reaches_state(moved.client.get(), TCP_FIN_WAIT2));
}

TEST_P(TcpLoopback, LastAcknowledgementIsMissing) {
  ASSERT_EQ(::shutdown(pair_.client.get(), SHUT_WR), 0);
  ASSERT_TRUE(reaches_state(pair_.server.get(), TCP_CLOSE_WAIT));
  std::string sent = fill(pair_.server.get());
  ASSERT_EQ(::shutdown(pair_.server.get(), SHUT_WR), 0);
  ASSERT_EQ(state_of(pair_.server.get()), TCP_LAST_ACK);
  Pair moved = move_both();
  EXPECT_EQ(state_of(moved.server.get()), TCP_LAST_ACK);
  EXPECT_TRUE(receive_exactly(moved.client.get(), sent.size()) == sent);
  EXPECT_TRUE(at_end_of_stream(moved.client.get()));
  EXPECT_TRUE(reaches_state(moved.server.get(), TCP_CLOSE));
}

TEST_P(TcpLoopback, ConnectionIsOverWithDataUnread) {
  send_all(pair_.server.get(), "unread");
  ASSERT_EQ(::shutdown(pair_.client.get(), SHUT_WR), 0);
  ASSERT_TRUE(reaches_state(pair_.server.get(), TCP_CLOSE_WAIT));
  pair_.server.reset();
  ASSERT_TRUE(reaches_state(pair_.client.get(), TCP_CLOSE));
  std::string name = *sys::local_address(pair_.client.get());
  CapturedSockets captured(self());
  expect_ok(captured.capture(tcp_socket_kind(), {pair_.client.get()}));
  pair_ = {};
  auto fds = expect_ok(restore(tcp_socket_kind(), captured.files(), self()));
  EXPECT_EQ(*sys::local_address(fds[0].get()), name);
  EXPECT_EQ(receive_exactly(fds[0].get(), 6), "unread");
  EXPECT_TRUE(at_end_of_stream(fds[0].get()));
  EXPECT_LT(::send(fds[0].get(), "x", 1, MSG_NOSIGNAL), 0);
  EXPECT_EQ(errno, EPIPE);
}

TEST_P(TcpLoopback, ResetIsStillReported) {
  linger at_once{1, 0};
  ::setsockopt(pair_.server.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  pair_.server.reset();
  ASSERT_TRUE(reaches_state(pair_.client.get(), TCP_CLOSE));
  CapturedSockets captured(self());
  expect_ok(captured.capture(tcp_socket_kind(), {pair_.client.get()}));
  pair_ = {};
  auto fds = expect_ok(restore(tcp_socket_kind(), captured.files(), self()));
  char byte = 0;
  EXPECT_LT(::recv(fds[0].get(), &byte, 1, 0), 0);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_P(TcpLoopback, GoesOnHereAfterThaw) {
  expect_ok(sys::set_int_option(pair_.server.get(), SOL_SOCKET, SO_REUSEADDR, 1));
  CapturedSockets captured(self());
  expect_ok(captured.capture(tcp_socket_kind(), {pair_.client.get(), pair_.server.get()}));
  captured.thaw();
  EXPECT_EQ(*sys::get_int_option(pair_.server.get(), SOL_SOCKET, SO_REUSEADDR), 1);
  EXPECT_EQ(*sys::get_int_option(pair_.client.get(), SOL_SOCKET, SO_REUSEADDR), 0);
  expect_talk(pair_.client.get(), pair_.server.get());
}

TEST_P(TcpLoopback, NegotiatedOptionsMove) {
  auto before = expect_ok(sys::tcp_information(pair_.server.get()));
  Pair moved = move_both();
  auto after = expect_ok(sys::tcp_information(moved.server.get()));
  EXPECT_EQ(after.tcpi_options & 7, before.tcpi_options & 7);
  EXPECT_EQ(after.tcpi_snd_wscale, before.tcpi_snd_wscale);
  EXPECT_EQ(after.tcpi_rcv_wscale, before.tcpi_rcv_wscale);
  EXPECT_NEAR(after.tcpi_snd_mss, before.tcpi_snd_mss, 16);  // option bytes
}

TEST_P(TcpLoopback, SocketOptionsMove) {
  int fd = pair_.server.get();
  expect_ok(sys::set_int_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1));
  expect_ok(sys::set_int_option(fd, SOL_SOCKET, SO_RCVBUF, 50000));
  expect_ok(sys::set_int_option(fd, SOL_SOCKET, SO_PRIORITY, 3));
  expect_ok(sys::set_int_option(fd, IPPROTO_TCP, TCP_NODELAY, 1));
  expect_ok(sys::set_int_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77));
  expect_ok(sys::set_int_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345));
  expect_ok(sys::set_int_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096));
  timeval timeout{3, 500000};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  linger lingering{1, 9};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &lingering, sizeof lingering);
  auto before = sys::read_socket_options(fd);
  Pair moved = move_both();
  auto after = sys::read_socket_options(moved.server.get());
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_EQ(after[i].value, before[i].value) << before[i].level << "/" << before[i].name;
}

// The second is told by the first, from which it differs in both directions.
TEST_P(TcpLoopback, OptionsDifferBetweenSockets) {
  int client = pair_.client.get();
  int server = pair_.server.get();
  expect_ok(sys::set_int_option(client, SOL_SOCKET, SO_KEEPALIVE, 1));
  expect_ok(sys::set_int_option(client, IPPROTO_TCP, TCP_KEEPIDLE, 77));
  expect_ok(sys::set_int_option(server, IPPROTO_TCP, TCP_NODELAY, 1));
  expect_ok(sys::set_int_option(server, IPPROTO_TCP, TCP_KEEPIDLE, 55));
  CapturedSockets captured(self());
  expect_ok(captured.capture(tcp_socket_kind(), {client, server}));
  pair_ = {};
  const image::SocketCommon& second = captured.files()[1].tcp().common();
  EXPECT_EQ(second.options_like(), 1u);
  EXPECT_LT(second.options_size(), 8);
  auto fds = expect_ok(restore(tcp_socket_kind(), captured.files(), self()));
  auto get = [&](size_t which, int level, int name) {
    return expect_ok(sys::get_int_option(fds[which].get(), level, name));
  };
  EXPECT_EQ(get(0, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(get(1, SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT_EQ(get(0, IPPROTO_TCP, TCP_KEEPIDLE), 77);
  EXPECT_EQ(get(1, IPPROTO_TCP, TCP_KEEPIDLE), 55);
  EXPECT_EQ(get(0, IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_EQ(get(1, IPPROTO_TCP, TCP_NODELAY), 1);
}

TEST_P(TcpLoopback, OptionsLikeThoseOfNoSocketAreABadImage) {
  CapturedSockets captured(self());
  expect_ok(captured.capture(tcp_socket_kind(), {pair_.client.get(), pair_.server.get()}));
  pair_ = {};
  for (uint32_t nobody : {7u, 2u}) {  // there is none; itself
    std::vector<image::File> files = captured.files();
    files[1].mutable_tcp()->mutable_common()->set_options_like(nobody);
    auto restored = restore(tcp_socket_kind(), files, self());
    ASSERT_FALSE(restored);
    EXPECT_EQ(restored.error().code(), Code::kBadImage);
  }
}

TEST_P(TcpLoopback, ListenerMovesWithItsConnections) {
  CapturedSockets captured(self());
  expect_ok(captured.capture(tcp_socket_kind(),
                             {pair_.client.get(), pair_.server.get(), listener_.get()}));
  pair_ = {};
  listener_.reset();
  auto fds = expect_ok(restore(tcp_socket_kind(), captured.files(), self()));
  expect_talk(fds[0].get(), fds[1].get());
  EXPECT_EQ(expect_ok(sys::tcp_information(fds[2].get())).tcpi_sacked, 7u);
  EXPECT_EQ(*sys::get_int_option(fds[2].get(), SOL_SOCKET, SO_REUSEADDR), 0);
  Pair fresh = connect_to(fds[2].get());
  expect_talk(fresh.client.get(), fresh.server.get());
}

TEST_P(TcpLoopback, WaitingConnectionIsRefusedByName) {
  Fd waiting = new_socket(*sys::local_address(listener_.get()));
  ASSERT_TRUE(sys::connect_address(waiting.get(), *sys::local_address(listener_.get())));
  ASSERT_TRUE(wait_for_event(listener_.get(), POLLIN));
  auto setup = expect_ok(ConnectionsInSetup::watch(self()));
  std::string line = "1 to " + sys::describe_address(*sys::local_address(listener_.get()));
  EXPECT_EQ(expect_ok(setup.list()), std::vector{line});
  CapturedSockets captured(self());
  auto result = captured.capture(tcp_socket_kind(), {listener_.get()});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kUnsupported);
  EXPECT_NE(result.error().cause().find("1 connections waiting"), std::string::npos);
  captured.thaw();
  Fd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  expect_talk(waiting.get(), accepted.get());
  EXPECT_TRUE(expect_ok(setup.list()).empty());
}

TEST_P(TcpLoopback, BoundAndFreshSocketsMove) {
  Fd bound = new_socket(any_port(GetParam()));
  ASSERT_TRUE(sys::bind_address(bound.get(), any_port(GetParam())));
  std::string name = *sys::local_address(bound.get());
  Fd fresh = new_socket(any_port(GetParam()), SOCK_NONBLOCK);
  CapturedSockets captured(self());
  expect_ok(captured.capture(tcp_socket_kind(), {bound.get(), fresh.get()}));
  bound.reset();
  fresh.reset();
  auto fds = expect_ok(restore(tcp_socket_kind(), captured.files(), self()));
  EXPECT_EQ(*sys::local_address(fds[0].get()), name);
  EXPECT_EQ(::listen(fds[0].get(), 1), 0);
  EXPECT_NE(::fcntl(fds[1].get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_TRUE(sys::connect_address(fds[1].get(), name));
  EXPECT_TRUE(wait_for_event(fds[0].get(), POLLIN));
}

INSTANTIATE_TEST_SUITE_P(Families, TcpLoopback, ::testing::Values("127.0.0.1", "::1"),
                         [](const auto& family) { return family.index == 0 ? "v4" : "v6"; });

struct Addresses {
  const char* outside;
  const char* inside;
};

// One end lives in a neighbouring network namespace and moves; the other must not notice.
class TcpNeighbour : public NetworkTest, public ::testing::WithParamInterface<Addresses> {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    neighbour_.emplace();
    expect_ok(run_in_namespace(neighbour_->pid(), "net", [&]() -> Result<void> {
      listener_ = listen_on(any_port(GetParam().inside), 1);
      return {};
    }));
    // The first connection may lose segments while the link comes up, and would be slow ever after.
    connect_to(listener_.get());
    Pair pair = connect_to(listener_.get());
    peer_ = std::move(pair.client);
    moving_ = std::move(pair.server);
  }
  void TearDown() override {
    neighbour_.reset();
    NetworkTest::TearDown();
  }

  void move() {
    CapturedSockets captured(neighbour_->pid());
    neighbour_->cut();
    expect_ok(captured.capture(tcp_socket_kind(), {moving_.get(), listener_.get()}));
    moving_.reset();
    listener_.reset();
    between_();
    ApplyContext context(neighbour_->pid(), {});
    auto fds = expect_ok(restore(tcp_socket_kind(), captured.files(), neighbour_->pid()));
    neighbour_->mend();
    moving_ = std::move(fds[0]);
    listener_ = std::move(fds[1]);
  }

  std::optional<Neighbour> neighbour_;
  std::function<void()> between_ = [] {};
  Fd listener_;
  Fd peer_;
  Fd moving_;
};

TEST_P(TcpNeighbour, PeerDoesNotNotice) {
  send_all(peer_.get(), "unread");
  ASSERT_TRUE(wait_for_event(moving_.get(), POLLIN));
  between_ = [&] { send_all(peer_.get(), " and sent meanwhile"); };
  move();
  EXPECT_EQ(receive_exactly(moving_.get(), 25), "unread and sent meanwhile");
  expect_talk(peer_.get(), moving_.get());
  between_ = [] {};
  move();
  expect_talk(peer_.get(), moving_.get());
}

TEST_P(TcpNeighbour, PeerEndsMeanwhile) {
  send_all(moving_.get(), "answer");
  between_ = [&] { ::shutdown(peer_.get(), SHUT_WR); };
  move();
  EXPECT_TRUE(at_end_of_stream(moving_.get()));
  send_all(moving_.get(), " and more");
  EXPECT_EQ(receive_exactly(peer_.get(), 15), "answer and more");
}

TEST_P(TcpNeighbour, HalfClosedByPeer) {
  ASSERT_EQ(::shutdown(peer_.get(), SHUT_WR), 0);
  ASSERT_TRUE(reaches_state(moving_.get(), TCP_CLOSE_WAIT));
  move();
  EXPECT_EQ(state_of(moving_.get()), TCP_CLOSE_WAIT);
  EXPECT_TRUE(at_end_of_stream(moving_.get()));
  send_all(moving_.get(), "answer");
  EXPECT_EQ(receive_exactly(peer_.get(), 6), "answer");
  moving_.reset();
  EXPECT_TRUE(at_end_of_stream(peer_.get()));
}

TEST_P(TcpNeighbour, HalfClosedByItself) {
  ASSERT_EQ(::shutdown(moving_.get(), SHUT_WR), 0);
  ASSERT_TRUE(reaches_state(moving_.get(), TCP_FIN_WAIT2));
  move();
  EXPECT_TRUE(at_end_of_stream(peer_.get()));
  send_all(peer_.get(), "request");
  EXPECT_EQ(receive_exactly(moving_.get(), 7), "request");
  EXPECT_EQ(state_of(moving_.get()), TCP_FIN_WAIT2);
}

TEST_P(TcpNeighbour, BothEndedAtOnce) {
  neighbour_->cut();
  ASSERT_EQ(::shutdown(moving_.get(), SHUT_WR), 0);
  ASSERT_EQ(::shutdown(peer_.get(), SHUT_WR), 0);
  ASSERT_EQ(state_of(moving_.get()), TCP_FIN_WAIT1);
  neighbour_->mend();
  move();
  EXPECT_TRUE(at_end_of_stream(peer_.get()));
  EXPECT_TRUE(at_end_of_stream(moving_.get()));
  EXPECT_TRUE(reaches_state(moving_.get(), TCP_CLOSE));
}

TEST_P(TcpNeighbour, BulkTransferGoesOnInBothDirections) {
  std::string up = pattern(48u << 20);
  std::string down = pattern(32u << 20);
  auto sending = std::async(std::launch::async, [&] { send_all(peer_.get(), up); });
  auto receiving =
      std::async(std::launch::async, [&] { return receive_exactly(peer_.get(), down.size()); });
  std::string received;
  size_t sent = 0;
  // Reads and writes without blocking for a while, so that each move meets a busy connection.
  auto work_until = [&](size_t received_goal, size_t sent_goal) {
    std::string buffer(1u << 16, '\0');
    while (received.size() < received_goal || sent < sent_goal) {
      short events = static_cast<short>((received.size() < received_goal ? POLLIN : 0) |
                                        (sent < sent_goal ? POLLOUT : 0));
      pollfd state{moving_.get(), events, 0};
      ASSERT_EQ(::poll(&state, 1, kDeadlineMs), 1);
      ssize_t got = ::recv(moving_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got > 0) received.append(buffer, 0, static_cast<size_t>(got));
      ssize_t put = ::send(moving_.get(), down.data() + sent,
                           std::min<size_t>(sent_goal - std::min(sent_goal, sent), 1u << 18),
                           MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put > 0) sent += static_cast<size_t>(put);
    }
  };
  for (size_t round = 1; round <= 4; ++round) {
    work_until(round * (8u << 20), round * (6u << 20));
    move();
  }
  work_until(up.size(), down.size());
  sending.get();
  EXPECT_TRUE(received == up);
  EXPECT_TRUE(receiving.get() == down);
}

TEST_P(TcpNeighbour, ReceiveWindowWasFull) {
  std::string sent = fill(peer_.get());
  ASSERT_GT(sent.size(), 100000u);
  move();
  EXPECT_TRUE(receive_exactly(moving_.get(), sent.size()) == sent);
  expect_talk(peer_.get(), moving_.get());
}

TEST_P(TcpNeighbour, SendWindowWasFull) {
  std::string sent = fill(moving_.get());
  ASSERT_GT(expect_ok(sys::tcp_information(moving_.get())).unsent_bytes, 0u);
  move();
  EXPECT_TRUE(receive_exactly(peer_.get(), sent.size()) == sent);
  expect_talk(peer_.get(), moving_.get());
}

TEST_P(TcpNeighbour, ConnectionAttemptGoesOn) {
  moving_.reset();
  listener_.reset();
  Fd target = listen_on(any_port(GetParam().outside));
  neighbour_->cut();  // the answer does not arrive
  expect_ok(run_in_namespace(neighbour_->pid(), "net", [&]() -> Result<void> {
    moving_ = new_socket(any_port(GetParam().inside), SOCK_NONBLOCK);
    listener_ = listen_on(any_port(GetParam().inside));
    return sys::connect_address(moving_.get(), *sys::local_address(target.get()));
  }));
  ASSERT_EQ(state_of(moving_.get()), TCP_SYN_SENT);
  neighbour_->mend();
  move();
  ASSERT_TRUE(wait_for_event(moving_.get(), POLLOUT));
  Fd accepted(::accept4(target.get(), nullptr, nullptr, SOCK_CLOEXEC));
  expect_talk(moving_.get(), accepted.get());
}

INSTANTIATE_TEST_SUITE_P(Families, TcpNeighbour,
                         ::testing::Values(Addresses{"10.9.0.1", "10.9.0.2"},
                                           Addresses{"fd09::1", "fd09::2"}),
                         [](const auto& family) { return family.index == 0 ? "v4" : "v6"; });

}  // namespace
}  // namespace martlet::engine
