#include "engine/sockets/unix_socket.h"

#include <sys/stat.h>
#include <sys/un.h>

#include <cstddef>
#include <filesystem>

#include "base/test_util.h"
#include "engine/sockets/socket_test_support.h"
#include "engine/sockets/unix_apply.h"

namespace martlet::engine {
namespace {

HostPid self() {
  return HostPid(::getpid());
}

std::string address_of(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path, sizeof address.sun_path);
  // A path is stored with its terminating zero, an abstract name without.
  size_t length = offsetof(sockaddr_un, sun_path) + name.size() + (name[0] == '\0' ? 0 : 1);
  return {reinterpret_cast<const char*>(&address), length};
}

std::string abstract(const std::string& name) {
  return address_of(std::string(1, '\0') + name);
}

struct Ends {
  Fd a;
  Fd b;
};

Ends pair_of(int type) {
  int fds[2];
  EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

Fd new_socket(int type) {
  return Fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}

Fd bound(int type, const std::string& address) {
  Fd fd = new_socket(type);
  expect_ok(sys::bind_address(fd.get(), address));
  return fd;
}

Fd listen_on(const std::string& address, int type = SOCK_STREAM) {
  Fd fd = bound(type, address);
  EXPECT_EQ(::listen(fd.get(), 3), 0);
  return fd;
}

Ends connect_through(int listener, const std::string& client_name = "", int type = SOCK_STREAM) {
  Ends ends{client_name.empty() ? new_socket(type) : bound(type, client_name), Fd()};
  expect_ok(sys::connect_address(ends.a.get(), *sys::local_address(listener)));
  ends.b = Fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  return ends;
}

void expect_talk(const Ends& ends) {
  send_all(ends.a.get(), "ping");
  EXPECT_EQ(receive_exactly(ends.b.get(), 4), "ping");
  send_all(ends.b.get(), "pong");
  EXPECT_EQ(receive_exactly(ends.a.get(), 4), "pong");
}

std::string receive_message(int fd, std::string* sender = nullptr) {
  std::string data(65536, '\0');
  sockaddr_un from{};
  socklen_t length = sizeof from;
  ssize_t got = ::recvfrom(fd, data.data(), data.size(), MSG_DONTWAIT,
                           reinterpret_cast<sockaddr*>(&from), &length);
  EXPECT_GE(got, 0) << std::strerror(errno);
  data.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (sender) sender->assign(reinterpret_cast<const char*>(&from), length);
  return data;
}

class UnixSockets : public NetworkTest {
 protected:
  std::string path(const std::string& name) const { return address_of(directory_ / name); }

  // Captures the sockets, closes them and rebuilds them.
  std::vector<Fd> move(std::vector<Fd> originals) {
    std::vector<int> fds;
    for (const Fd& fd : originals) fds.push_back(fd.get());
    CapturedSockets captured(self());
    expect_ok(captured.capture(unix_socket_kind(), fds));
    originals.clear();
    auto create_all = [&](ApplyContext& context) {
      LocalUnixCaller caller(context.networks());
      return create_unix_sockets(context, caller);
    };
    return expect_ok(restore(unix_socket_kind(), captured.files(), self(), create_all));
  }
  Ends move(Ends ends) {
    std::vector<Fd> originals;
    originals.push_back(std::move(ends.a));
    originals.push_back(std::move(ends.b));
    auto moved = move(std::move(originals));
    return {std::move(moved[0]), std::move(moved[1])};
  }
  Error refusal(int fd) {
    CapturedSockets captured(self());
    auto result = captured.capture(unix_socket_kind(), {fd});
    EXPECT_FALSE(result);
    return result ? Error(Code::kSystem, "captured") : result.error();
  }

  TemporaryDirectory directory_;
};

TEST_F(UnixSockets, PairWithQueues) {
  Ends ends = pair_of(SOCK_STREAM);
  std::string big = pattern(100000);
  send_all(ends.a.get(), big);
  send_all(ends.b.get(), "the other way");
  ends = move(std::move(ends));
  EXPECT_TRUE(receive_exactly(ends.b.get(), big.size()) == big);
  EXPECT_EQ(receive_exactly(ends.a.get(), 13), "the other way");
  expect_talk(ends);
}

TEST_F(UnixSockets, CaptureLeavesTheQueue) {
  Ends ends = pair_of(SOCK_STREAM);
  send_all(ends.a.get(), "queued");
  CapturedSockets captured(self());
  expect_ok(captured.capture(unix_socket_kind(), {ends.a.get(), ends.b.get()}));
  captured.thaw();
  EXPECT_EQ(*sys::get_int_option(ends.b.get(), SOL_SOCKET, SO_PEEK_OFF), -1);
  EXPECT_EQ(receive_exactly(ends.b.get(), 6), "queued");
  expect_talk(ends);
}

TEST_F(UnixSockets, HalfClosedAndClosedPeers) {
  Ends half = pair_of(SOCK_STREAM);
  send_all(half.a.get(), "farewell");
  ASSERT_EQ(::shutdown(half.a.get(), SHUT_WR), 0);
  half = move(std::move(half));
  EXPECT_EQ(receive_exactly(half.b.get(), 8), "farewell");
  EXPECT_TRUE(at_end_of_stream(half.b.get()));
  send_all(half.b.get(), "still");
  EXPECT_EQ(receive_exactly(half.a.get(), 5), "still");

  Ends closed = pair_of(SOCK_STREAM);
  send_all(closed.a.get(), "testament");
  closed.a.reset();
  std::vector<Fd> single;
  single.push_back(std::move(closed.b));
  single = move(std::move(single));
  EXPECT_EQ(receive_exactly(single[0].get(), 9), "testament");
  EXPECT_TRUE(at_end_of_stream(single[0].get()));
  EXPECT_LT(::send(single[0].get(), "x", 1, MSG_NOSIGNAL), 0);
  EXPECT_EQ(errno, EPIPE);
}

TEST_F(UnixSockets, PacketsKeepTheirBoundaries) {
  for (int type : {SOCK_DGRAM, SOCK_SEQPACKET}) {
    Ends ends = pair_of(type);
    send_all(ends.a.get(), "one");
    ASSERT_EQ(::send(ends.a.get(), "", 0, 0), 0);
    send_all(ends.a.get(), "three");
    ends = move(std::move(ends));
    EXPECT_EQ(receive_message(ends.b.get()), "one");
    EXPECT_EQ(receive_message(ends.b.get()), "");
    EXPECT_EQ(receive_message(ends.b.get()), "three");
    expect_talk(ends);
  }
}

TEST_F(UnixSockets, ListenersAndNamedConnections) {
  for (const std::string& name : {path("listener"), abstract("listener")}) {
    Fd listener = listen_on(name);
    Ends ends = connect_through(listener.get(),
                                name == path("listener") ? path("client") : abstract("client"));
    Ends nameless = connect_through(listener.get());
    std::string client_name = *sys::local_address(ends.a.get());
    send_all(ends.a.get(), "queued");
    std::vector<Fd> all;
    for (Fd* fd : {&ends.a, &ends.b, &nameless.b, &listener, &nameless.a})
      all.push_back(std::move(*fd));
    all = move(std::move(all));
    EXPECT_EQ(*sys::local_address(all[0].get()), client_name);
    EXPECT_EQ(*sys::remote_address(all[0].get()), name);
    EXPECT_EQ(*sys::local_address(all[1].get()), name);
    EXPECT_EQ(*sys::remote_address(all[1].get()), client_name);
    EXPECT_EQ(*sys::local_address(all[2].get()), name);
    EXPECT_EQ(receive_exactly(all[1].get(), 6), "queued");
    expect_talk({std::move(all[0]), std::move(all[1])});
    expect_talk({std::move(all[4]), std::move(all[2])});
    expect_talk(connect_through(all[3].get()));
  }
}

TEST_F(UnixSockets, FileOfANameComesBack) {
  Fd listener = listen_on(path("listener"));
  auto file = directory_ / "listener";
  ASSERT_EQ(::chmod(file.c_str(), 0620), 0);
  ASSERT_EQ(::chown(file.c_str(), 12, 34), 0);
  std::vector<Fd> all;
  all.push_back(std::move(listener));
  all = move(std::move(all));
  struct stat status{};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777, 0620u);
  EXPECT_EQ(status.st_uid, 12u);
  EXPECT_EQ(status.st_gid, 34u);
}

TEST_F(UnixSockets, UnlinkedNameLeavesNoFile) {
  std::vector<Fd> all;
  all.push_back(listen_on(path("unlinked")));
  std::filesystem::remove(directory_ / "unlinked");
  all = move(std::move(all));
  EXPECT_EQ(*sys::local_address(all[0].get()), path("unlinked"));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "unlinked"));
}

TEST_F(UnixSockets, NameInUseIsNotTaken) {
  Fd listener = listen_on(path("listener"));
  CapturedSockets captured(self());
  expect_ok(captured.capture(unix_socket_kind(), {listener.get()}));
  auto result = restore(unix_socket_kind(), captured.files(), self());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kAlreadyExists);
}

TEST_F(UnixSockets, RelativeName) {
  auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory_.path());
  std::vector<Fd> all;
  all.push_back(listen_on(address_of("relative")));
  CapturedSockets captured(self());
  expect_ok(captured.capture(unix_socket_kind(), {all[0].get()}));
  std::filesystem::current_path(before);
  all.clear();
  all = expect_ok(restore(unix_socket_kind(), captured.files(), self()));
  EXPECT_EQ(*sys::local_address(all[0].get()), address_of("relative"));
  Fd client = new_socket(SOCK_STREAM);
  EXPECT_TRUE(sys::connect_address(client.get(), path("relative")));
}

TEST_F(UnixSockets, DatagramsKeepTheirSenders) {
  Fd receiver = bound(SOCK_DGRAM, path("receiver"));
  Fd sender = bound(SOCK_DGRAM, path("sender"));
  Fd connected = bound(SOCK_DGRAM, abstract("connected"));
  expect_ok(sys::connect_address(connected.get(), path("receiver")));
  std::string to = path("receiver");
  auto send_from = [&](int fd, std::string_view text) {
    ASSERT_EQ(::sendto(fd, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(to.data()),
                       static_cast<socklen_t>(to.size())),
              static_cast<ssize_t>(text.size()));
  };
  send_from(sender.get(), "named");
  send_from(new_socket(SOCK_DGRAM).get(), "nameless");
  send_from(bound(SOCK_DGRAM, path("gone")).get(), "closed");
  send_all(connected.get(), "connected");
  std::vector<Fd> all;
  for (Fd* fd : {&connected, &receiver, &sender}) all.push_back(std::move(*fd));
  all = move(std::move(all));
  std::string from;
  EXPECT_EQ(receive_message(all[1].get(), &from), "named");
  EXPECT_EQ(from, path("sender"));
  EXPECT_EQ(receive_message(all[1].get(), &from), "nameless");
  EXPECT_EQ(from, "");
  EXPECT_EQ(receive_message(all[1].get(), &from), "closed");
  EXPECT_EQ(from, path("gone"));
  EXPECT_EQ(receive_message(all[1].get(), &from), "connected");
  EXPECT_EQ(from, abstract("connected"));
  send_all(all[0].get(), "again");
  EXPECT_EQ(receive_message(all[1].get()), "again");
}

ucred credentials_of(int fd) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  EXPECT_EQ(::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length), 0);
  return credentials;
}

TEST_F(UnixSockets, UsersOfBothEndsAreRemembered) {
  Fd listener = listen_on(path("listener"));
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0777), 0);
  ASSERT_EQ(::chmod((directory_ / "listener").c_str(), 0777), 0);
  Ends ends;
  ASSERT_EQ(::setegid(34), 0);
  ASSERT_EQ(::seteuid(12), 0);
  ends = connect_through(listener.get());
  Ends pair = pair_of(SOCK_STREAM);
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_EQ(::setegid(0), 0);
  std::vector<Fd> all;
  for (Fd* fd : {&ends.a, &ends.b, &pair.a, &pair.b}) all.push_back(std::move(*fd));
  all = move(std::move(all));
  EXPECT_EQ(credentials_of(all[0].get()).uid, 0u);
  EXPECT_EQ(credentials_of(all[1].get()).uid, 12u);
  EXPECT_EQ(credentials_of(all[1].get()).gid, 34u);
  EXPECT_EQ(credentials_of(all[2].get()).uid, 12u);
  EXPECT_EQ(credentials_of(all[3].get()).gid, 34u);
}

TEST_F(UnixSockets, EmptyDatagramsAreSeenByEveryCapture) {
  Ends ends = pair_of(SOCK_DGRAM);
  Ends packets = pair_of(SOCK_SEQPACKET);
  Fd named = bound(SOCK_DGRAM, path("named"));
  Fd stranger = new_socket(SOCK_DGRAM);
  for (const char* text : {"", "one", "", ""}) {
    expect_ok(sys::connect_address(stranger.get(), path("named")));
    for (int sender : {ends.a.get(), packets.a.get(), stranger.get()})
      ASSERT_GE(::send(sender, text, std::strlen(text), 0), 0);
  }
  std::vector<int> fds{ends.a.get(),    ends.b.get(), packets.a.get(),
                       packets.b.get(), named.get(),  stranger.get()};
  for (int round = 0; round < 3; ++round) {
    CapturedSockets captured(self());
    expect_ok(captured.capture(unix_socket_kind(), fds));
    captured.thaw();
    for (size_t receiver : {1u, 3u, 4u}) {
      const auto& queue = captured.files()[receiver].unix_socket().queue();
      ASSERT_EQ(queue.size(), 4) << "round " << round << ", socket " << receiver;
      EXPECT_EQ(queue[0].data() + "|" + queue[1].data() + "|" + queue[2].data(), "|one|");
    }
  }
  for (int fd : {ends.b.get(), packets.b.get(), named.get()})
    for (const char* text : {"", "one", "", ""}) EXPECT_EQ(receive_message(fd), text);
}

TEST_F(UnixSockets, RefusesByName) {
  Ends outside = pair_of(SOCK_STREAM);
  EXPECT_NE(refusal(outside.a.get()).cause().find("outside of the group"), std::string::npos);

  Fd listener = listen_on(path("listener"));
  Fd waiting = new_socket(SOCK_STREAM);
  expect_ok(sys::connect_address(waiting.get(), path("listener")));
  EXPECT_NE(refusal(listener.get()).cause().find("outside of the group"), std::string::npos);
  EXPECT_NE(refusal(waiting.get()).cause().find("waits to be accepted"), std::string::npos);
  waiting.reset();
  ASSERT_EQ(::unlink((directory_ / "listener").c_str()), 0);
  EXPECT_NE(refusal(listener.get()).cause().find("does not lead to it"), std::string::npos);
}

TEST_F(UnixSockets, ConnectionsThatWaitToBeAccepted) {
  for (const std::string& name : {path("listener"), abstract("waiting")}) {
    std::vector<Fd> sockets;
    sockets.push_back(new_socket(SOCK_STREAM));
    sockets.push_back(listen_on(name));
    sockets.push_back(bound(SOCK_STREAM, path("client")));
    Fd closed = new_socket(SOCK_STREAM);
    for (int client : {sockets[2].get(), closed.get(), sockets[0].get()})
      expect_ok(sys::connect_address(client, name));
    send_all(sockets[2].get(), "first");
    send_all(closed.get(), "last words");
    closed.reset();
    auto moved = move(std::move(sockets));
    Fd first(::accept(moved[1].get(), nullptr, nullptr));
    EXPECT_EQ(*sys::remote_address(first.get()), path("client"));
    EXPECT_EQ(receive_exactly(first.get(), 5), "first");
    Fd second(::accept(moved[1].get(), nullptr, nullptr));
    EXPECT_EQ(receive_message(second.get()), "last words");
    EXPECT_EQ(receive_message(second.get()), "");
    expect_talk({std::move(moved[0]), Fd(::accept(moved[1].get(), nullptr, nullptr))});
    moved.clear();
    ASSERT_EQ(::unlink((directory_ / "client").c_str()), 0);
  }
}

}  // namespace
}  // namespace martlet::engine
