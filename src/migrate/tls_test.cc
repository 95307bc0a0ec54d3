#include "migrate/tls.h"

#include <gmock/gmock.h>
#include <sys/ioctl.h>

#include <future>

#include "image/byte_stream.h"
#include "migrate/test_util.h"

namespace martlet::migrate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Tls : public ::testing::Test {
 protected:
  TestAuthority authority_;
  TlsContext a_ = authority_.context_of("host-a");
  TlsContext b_ = authority_.context_of("host-b");
};

// Runs one handshake and returns both sides' results.
struct Handshake {
  Result<std::unique_ptr<TlsConnection>> client;
  Result<std::unique_ptr<TlsConnection>> server;
};

Handshake shake_hands(const TlsContext& client, const TlsContext& server, const std::string& name) {
  Fd listener = must(listen_on({.host = "127.0.0.1", .port = "0"}));
  std::string port = std::to_string(must(local_port(listener.get())));
  auto accepted = std::async(std::launch::async, [&] {
    return TlsConnection::accept(server, must(accept_on(listener.get(), {})), {});
  });
  auto connected = TlsConnection::connect(client, {.host = "127.0.0.1", .port = port}, name, {});
  if (!connected) return {std::move(connected), accepted.get()};
  auto other = accepted.get();
  return {std::move(connected), std::move(other)};
}

TEST_F(Tls, CarriesARecordStream) {
  auto pair = connect_pair(a_, b_, "host-b");
  EXPECT_THAT(pair.server->peer_names(), ElementsAre("host-a"));
  std::vector<std::byte> pages(1 << 20, std::byte{42});
  std::jthread sender([&] {
    auto sink = image::make_sink(*pair.client);
    must(put_pages(*sink, {.owner = 1, .flags = 0, .address = 0, .length = pages.size()}, pages));
    must(sink->put(image::RecordType::kEnd, {}, {}));
    must(sink->flush());
  });
  auto source = image::make_source(*pair.server);
  auto record = must(source->next());
  EXPECT_TRUE(std::ranges::equal(record.body, pages));
  EXPECT_EQ(must(source->next()).type, image::RecordType::kEnd);
}

TEST_F(Tls, RefusesAHostOfAnotherName) {
  auto [client, server] = shake_hands(a_, b_, "host-c");
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code(), Code::kPermission);
  EXPECT_THAT(client.error().to_string(), HasSubstr("ertificate"));
}

TEST_F(Tls, RefusesAHostOfAnotherAuthority) {
  TestAuthority foreign;
  TlsContext intruder = foreign.context_of("host-a");
  EXPECT_FALSE(shake_hands(intruder, b_, "host-b").server);
  EXPECT_FALSE(shake_hands(a_, foreign.context_of("host-b"), "host-b").client);
}

TEST_F(Tls, ALostPeerIsAnError) {
  auto pair = connect_pair(a_, b_, "host-b");
  pair.client.reset();
  std::byte byte;
  EXPECT_EQ(pair.server->read({&byte, 1}).error().code(), Code::kPeerLost);
}

TEST_F(Tls, AWaitEndsAtItsDeadline) {
  auto pair = connect_pair(a_, b_, "host-b", {.timeout = std::chrono::milliseconds(50)});
  std::byte byte;
  EXPECT_EQ(pair.server->read({&byte, 1}).error().code(), Code::kTimeout);
}

TEST_F(Tls, AWaitIsCancelled) {
  Cancellation cancellation = must(Cancellation::create());
  auto pair = connect_pair(a_, b_, "host-b", {.cancellation = &cancellation});
  std::jthread canceller([&] { cancellation.cancel(); });
  std::byte byte;
  EXPECT_EQ(pair.server->read({&byte, 1}).error().code(), Code::kCancelled);
}

TEST_F(Tls, AWriteToAPeerThatDoesNotReadEndsAtItsDeadline) {
  auto pair = connect_pair(a_, b_, "host-b", {.timeout = std::chrono::milliseconds(100)});
  std::vector<std::byte> much(64 << 20);
  EXPECT_EQ(pair.client->write(much).error().code(), Code::kTimeout);
}

TEST_F(Tls, DrainWaitsUntilThePeersHostHasAll) {
  auto pair = connect_pair(a_, b_, "host-b", {.timeout = std::chrono::milliseconds(100)});
  std::vector<std::byte> some(100'000);
  must(pair.client->write(some));
  must(pair.client->drain());
  int arrived = 0;
  ASSERT_EQ(::ioctl(pair.server->fd(), FIONREAD, &arrived), 0);
  EXPECT_GT(arrived, 100'000);
}

TEST_F(Tls, DrainEndsAtItsDeadline) {
  auto pair = connect_pair(a_, b_, "host-b", {.timeout = std::chrono::milliseconds(100)});
  std::vector<std::byte> much(64 << 20);
  EXPECT_EQ(pair.client->write(much).error().code(), Code::kTimeout);
  const auto stalled = pair.client->drain();
  EXPECT_EQ(stalled.error().code(), Code::kTimeout);
  EXPECT_THAT(stalled.error().to_string(), HasSubstr("for 100 ms"));
  pair.server.reset();
  const auto lost = pair.client->drain();
  EXPECT_EQ(lost.error().code(), Code::kPeerLost);
  EXPECT_THAT(lost.error().to_string(), HasSubstr("the connection is lost: "));
}

TEST_F(Tls, NamesAnUnreachableHost) {
  Fd listener = must(listen_on({.host = "127.0.0.1", .port = "0"}));
  std::string port = std::to_string(must(local_port(listener.get())));
  listener.reset();
  auto refused = TlsConnection::connect(a_, {.host = "127.0.0.1", .port = port}, "host-b", {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().to_string(), HasSubstr("127.0.0.1 port " + port));
}

TEST(TlsFiles, NamesTheFileThatIsMissing) {
  auto context =
      TlsContext::load({.authority = "/nonexistent/ca.pem", .certificate = "", .key = ""});
  ASSERT_FALSE(context);
  EXPECT_THAT(context.error().to_string(), HasSubstr("/nonexistent/ca.pem"));
}

}  // namespace
}  // namespace martlet::migrate
