#include "migrate/clock_sync.h"

#include <ctime>
#include <optional>

namespace martlet::migrate {

namespace {

constexpr int kQueries = 8;

Nanoseconds read_clock(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + Nanoseconds(now.tv_nsec);
}

struct Sample {
  sys::ClockReading sent;  // our clocks when we asked
  sys::ClockReading peer;
  Nanoseconds round_trip;
};

Result<Sample> ask_once(MessageChannel& channel) {
  Sample sample;
  protocol::Message query;
  query.mutable_clock_query();
  sample.sent = read_own_clocks();
  TRY(channel.send(query));
  protocol::Message answer = TRY(channel.expect(protocol::Message::kClockAnswer));
  sample.round_trip = read_own_clocks().monotonic - sample.sent.monotonic;
  sample.peer.monotonic = Nanoseconds(answer.clock_answer().monotonic_ns());
  sample.peer.boottime = Nanoseconds(answer.clock_answer().boottime_ns());
  return sample;
}

Result<Sample> best_sample(MessageChannel& channel) {
  std::optional<Sample> best;
  for (int i = 0; i < kQueries; ++i) {
    Sample sample = TRY(ask_once(channel));
    if (!best || sample.round_trip < best->round_trip) best = sample;
  }
  return *best;
}

}  // namespace

sys::ClockReading read_own_clocks() {
  return {.monotonic = read_clock(CLOCK_MONOTONIC), .boottime = read_clock(CLOCK_BOOTTIME)};
}

Result<ClockBridge> measure_clocks(MessageChannel& channel, HostPid container) {
  Sample best = TRY(best_sample(channel));
  sys::ClockReading own = read_own_clocks();
  sys::ClockReading seen = TRY(sys::read_clocks(container));
  // What the container's clocks showed, at the latest, when the peer read its own.
  Nanoseconds passed_monotonic = own.monotonic - best.sent.monotonic - best.round_trip;
  Nanoseconds passed_boottime = own.boottime - best.sent.boottime - best.round_trip;
  return ClockBridge{
      .container = {.monotonic = seen.monotonic - passed_monotonic - best.peer.monotonic,
                    .boottime = seen.boottime - passed_boottime - best.peer.boottime},
      .destination_ahead = best.peer.monotonic - best.sent.monotonic - best.round_trip / 2,
      .uncertainty = best.round_trip / 2};
}

Result<void> answer_clock_query(MessageChannel& channel) {
  protocol::Message answer;
  sys::ClockReading now = read_own_clocks();
  answer.mutable_clock_answer()->set_monotonic_ns(now.monotonic.count());
  answer.mutable_clock_answer()->set_boottime_ns(now.boottime.count());
  return channel.send(answer);
}

}  // namespace martlet::migrate
