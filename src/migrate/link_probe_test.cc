#include "migrate/link_probe.h"

#include <future>

#include "migrate/migration_fixture.h"

namespace martlet::migrate {
namespace {

TEST(LinkProbe, MeasuresTheLinkToAServer) {
  TestAuthority authority;
  TestHost a(authority, "host-a", HostPid(0));
  TestHost b(authority, "host-b", HostPid(0));
  const auto server =
      must(MigrationServer::start(b.environment(), {.host = "127.0.0.1", .port = "0"}));
  a.host.peer_port = server->port();
  const LinkMeasurement link = must(probe_link(a.environment(), "host-b"));
  EXPECT_GT(link.bytes_per_second, 1e6);
  EXPECT_GT(link.round_trip, 0);
  EXPECT_GT(link.connect, link.round_trip);
}

// Time that passes only when the test says so: 64 KiB arrive each simulated millisecond.
class StepClock final : public Clock {
 public:
  Nanoseconds now() const override { return Nanoseconds(now_ += 1'000'000); }
  void sleep_for(Nanoseconds) override {}

 private:
  mutable int64_t now_ = 0;
};

TEST(LinkProbe, CountsTheBytesThatArriveOverTime) {
  TestAuthority authority;
  const TlsContext a = authority.context_of("host-a");
  const TlsContext b = authority.context_of("host-b");
  ConnectionPair pair = connect_pair(a, b, "host-b");
  auto serving = std::async(std::launch::async, [&] {
    MessageChannel channel(std::move(pair.server));
    const StepClock clock;
    return serve_probe(channel, clock);
  });
  MessageChannel channel(std::move(pair.client));
  for (int i = 0; i < 5; ++i) {
    protocol::Message query;
    query.mutable_clock_query();
    must(channel.send(query));
    must(channel.expect(protocol::Message::kClockAnswer));
  }
  protocol::Message piece;
  piece.mutable_probe_data()->set_bytes(std::string(64 << 10, 'x'));
  for (int i = 0; i < 40; ++i) must(channel.send(piece));
  piece.mutable_probe_data()->clear_bytes();
  must(channel.send(piece));
  const auto answer = must(channel.expect(protocol::Message::kProbeResult));
  EXPECT_NEAR(answer.probe_result().bytes_per_second(), 64 * 1024 * 1000.0, 1);
  must(serving.get());
}

}  // namespace
}  // namespace martlet::migrate
