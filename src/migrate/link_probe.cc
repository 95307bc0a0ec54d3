#include "migrate/link_probe.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "migrate/clock_sync.h"
#include "migrate/peer.h"

namespace martlet::migrate {
namespace {

constexpr WaitLimits kLimits{.timeout = std::chrono::milliseconds(5000)};
constexpr int kQueries = 5;
constexpr Nanoseconds kBurst = std::chrono::milliseconds(80);
constexpr uint64_t kBurstBytes = 64u << 20;
constexpr size_t kPieceBytes = 64u << 10;
// What may wait in this host's socket: enough to keep a link busy, and soon gone from a slow one.
constexpr int kUnsentBytes = 128 << 10;

Result<double> measure_round_trip(MessageChannel& channel, const Clock& clock) {
  Nanoseconds shortest = Nanoseconds::max();
  for (int i = 0; i < kQueries; ++i) {
    protocol::Message query;
    query.mutable_clock_query();
    const Nanoseconds sent = clock.now();
    TRY(channel.send(query));
    TRY(channel.expect(protocol::Message::kClockAnswer));
    shortest = std::min(shortest, clock.now() - sent);
  }
  return in_seconds(shortest);
}

Result<double> send_burst(MessageChannel& channel, const Clock& clock) {
  ::setsockopt(channel.connection().fd(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytes,
               sizeof kUnsentBytes);
  protocol::Message piece;
  piece.mutable_probe_data()->set_bytes(std::string(kPieceBytes, '\0'));
  const Nanoseconds end = clock.now() + kBurst;
  for (uint64_t sent = 0; sent < kBurstBytes && clock.now() < end; sent += kPieceBytes)
    TRY(channel.send(piece));
  piece.mutable_probe_data()->clear_bytes();  // the end
  TRY(channel.send(piece));
  const auto answer = TRY(channel.expect(protocol::Message::kProbeResult));
  const double rate = answer.probe_result().bytes_per_second();
  if (!(rate > 0)) return fail(Code::kBadImage, "the peer measured no rate");
  return rate;
}

struct Arrival {
  Nanoseconds at;
  uint64_t bytes;  // arrived so far
};

// Of the last two thirds of the time.
double rate_of(const std::vector<Arrival>& arrivals) {
  if (arrivals.size() < 2) return 0;
  const Arrival& last = arrivals.back();
  const Nanoseconds from = arrivals.front().at + (last.at - arrivals.front().at) / 3;
  const auto first =
      std::ranges::find_if(arrivals, [&](const Arrival& arrival) { return arrival.at >= from; });
  const Arrival& start = first->at < last.at ? *first : arrivals.front();
  return static_cast<double>(last.bytes - start.bytes) /
         std::max(1e-9, in_seconds(last.at - start.at));
}

}  // namespace

Result<LinkMeasurement> probe_link(const Environment& environment, const std::string& host) {
  const auto probe = [&]() -> Result<LinkMeasurement> {
    const Endpoint endpoint = TRY(environment.host.locate(host));
    const Nanoseconds begin = environment.clock.now();
    MessageChannel channel(TRY(TlsConnection::connect(environment.tls, endpoint, host, kLimits)));
    LinkMeasurement link;
    link.connect = in_seconds(environment.clock.now() - begin);
    protocol::Message hello = make_hello();
    hello.mutable_hello()->mutable_probe();
    TRY(channel.send(hello));
    link.round_trip = TRY(measure_round_trip(channel, environment.clock));
    link.bytes_per_second = TRY(send_burst(channel, environment.clock));
    return link;
  };
  return in_context(probe(), "link to host " + host);
}

Result<void> serve_probe(MessageChannel& channel, const Clock& clock) {
  channel.connection().set_limits(kLimits);
  for (int i = 0; i < kQueries; ++i) {
    TRY(channel.expect(protocol::Message::kClockQuery));
    protocol::Message answer;
    answer.mutable_clock_answer();
    TRY(channel.send(answer));
  }
  std::vector<Arrival> arrivals;
  uint64_t bytes = 0;
  while (bytes <= kBurstBytes) {
    const auto piece = TRY(channel.expect(protocol::Message::kProbeData));
    if (piece.probe_data().bytes().empty()) break;
    bytes += piece.probe_data().bytes().size();
    arrivals.push_back({clock.now(), bytes});
  }
  protocol::Message result;
  result.mutable_probe_result()->set_bytes_per_second(rate_of(arrivals));
  return channel.send(result);
}

}  // namespace martlet::migrate
