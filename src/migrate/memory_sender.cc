#include "migrate/memory_sender.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace martlet::migrate {
namespace {

constexpr int kThrottleStepPercent = 20;

// Asks before the first record.
class GatedSink final : public image::Sink {
 public:
  GatedSink(image::Sink& next, std::function<Result<void>()> may_send)
      : next_(next), may_send_(std::move(may_send)) {}

  Result<void> put(image::RecordType type, std::span<const std::byte> head,
                   std::span<const std::byte> body) override {
    if (auto ask = std::exchange(may_send_, nullptr)) TRY(ask());
    return next_.put(type, head, body);
  }
  Result<void> flush() override { return next_.flush(); }

 private:
  image::Sink& next_;
  std::function<Result<void>()> may_send_;
};

}  // namespace

MemorySender::MemorySender(SendingContext context, SourceContainer& container,
                           DrainableWriter& connection)
    : context_(context),
      container_(container),
      connection_(connection),
      records_(image::make_sink(connection)),
      sink_(*records_, context.environment.clock, context.cancellation, {}),
      compressing_(sink_, context.options.compression),
      started_(context.environment.clock.now()) {}

MemorySender::~MemorySender() {
  end_throttle();
}

RoundContext MemorySender::round_context() const {
  return {.memory_bytes = rounds_.empty() ? 0 : rounds_.front().changed_bytes,
          .elapsed = context_.environment.clock.now() - started_,
          .max_pause = context_.tuning.max_pause,
          .throttle_percent = throttle_percent_};
}

Result<bool> MemorySender::prepare() {
  auto ahead = container_.follow_memory();
  if (!ahead) return false;
  ahead_ = std::move(*ahead);
  TRY(ahead_->prepare(compressing_));
  context_.log.add_bytes(Stage::kRounds, sink_.bytes());
  return true;
}

Result<NextStep> MemorySender::send_rounds() {
  ahead_ = TRY(container_.follow_memory());
  sink_.on_bytes([this](uint64_t bytes) {
    context_.log.progress(Stage::kRounds, bytes, context_.log.outlook());
  });
  for (;;) {
    TRY(add_round());
    Decision decision = decide(rounds_, context_.options, round_context());
    spdlog::debug("container {}: round {}: {} bytes left, {}", context_.log.container(),
                  rounds_.back().number, rounds_.back().left_bytes, decision.reason);
    switch (decision.step) {
      case NextStep::kAnotherRound: break;
      case NextStep::kThrottle: TRY(throttle()); break;
      case NextStep::kCancel: return fail(Code::kCancelled, decision.reason);
      case NextStep::kFreeze:
      case NextStep::kPostcopy:
        end_throttle();  // a slow container would also stop slowly
        context_.log.add_bytes(Stage::kRounds, sink_.bytes());
        return decision.step;
    }
  }
}

Result<void> MemorySender::send_what_grew() {
  const RoundReport& last = rounds_.back();
  uint64_t left = ahead_->outlook().changed_bytes;
  double expected = expected_pause_seconds(left, last.link_rate, last.stopped_seconds);
  if (expected <= in_seconds(context_.tuning.max_pause) && !is_worth_a_round(last, left)) return {};
  uint64_t before = sink_.bytes();
  TRY(add_round());
  context_.log.add_bytes(Stage::kRounds, sink_.bytes() - before);
  return {};
}

Result<void> MemorySender::add_round() {
  TRY(context_.cancellation.check());
  rounds_.push_back(TRY(send_round()));
  TRY(context_.environment.faults.reached("source.round", context_.cancellation));
  context_.log.add_round(rounds_.back());
  return {};
}

Result<RoundReport> MemorySender::send_round() {
  Stopwatch watch(context_.environment.clock);
  auto stats = TRY(ahead_->next(compressing_));
  TRY(connection_.drain());  // what is still on its way would be waited for in the pause
  RoundReport report;
  report.number = stats.number;
  report.seconds = watch.seconds();
  report.stopped_seconds = stats.stopped_seconds;
  report.changed_bytes = stats.changed_bytes;
  report.sent_bytes = stats.sent_bytes;
  const auto outlook = ahead_->outlook();
  report.left_bytes = outlook.changed_bytes;
  report.compare_seconds = outlook.seconds;
  double comparing = rounds_.empty() ? 0 : rounds_.back().compare_seconds;
  double sending = std::max(report.seconds - stats.stopped_seconds - comparing, 1e-6);
  report.link_rate = static_cast<double>(stats.sent_bytes) / sending;
  // A short round says little about the link.
  constexpr uint64_t kTelling = 1u << 20;
  if (stats.sent_bytes < kTelling && !rounds_.empty()) report.link_rate = rounds_.back().link_rate;
  report.dirty_rate = static_cast<double>(report.left_bytes) / std::max(report.seconds, 1e-6);
  report.expected_pause_seconds = expected_pause_seconds(
      report.left_bytes, report.link_rate, stats.stopped_seconds + report.compare_seconds);
  return report;
}

Result<void> MemorySender::throttle() {
  throttle_percent_ = std::max(throttle_percent_ - kThrottleStepPercent, kLowestThrottlePercent);
  auto done = container_.throttle(throttle_percent_);
  if (done || done.error().error_number() != EINVAL) return done;
  // In cgroup v1 a cgroup gets no less than what one below it, which the container made, may use.
  spdlog::warn("container {}: cannot be slowed down: {}", context_.log.container(),
               done.error().to_string());
  return {};
}

void MemorySender::end_throttle() {
  if (std::exchange(throttle_percent_, 100) == 100) return;
  if (auto done = container_.throttle(100); !done)
    spdlog::error("container {}: {}", context_.log.container(), done.error().to_string());
}

Result<uint64_t> MemorySender::capture(FrozenContainer& frozen, checkpoint::MemoryScope scope,
                                       std::function<Result<void>()> may_send) {
  uint64_t before = sink_.bytes();
  double below = sink_.seconds_below();
  sink_.on_bytes(
      [this, before](uint64_t bytes) { context_.log.progress(Stage::kTransfer, bytes - before); });
  GatedSink gated(compressing_, std::move(may_send));
  auto stats = TRY(frozen.capture(gated, ahead_.get(), scope));
  TRY(compressing_.flush());
  context_.log.move_seconds(Stage::kCapture, Stage::kTransfer, sink_.seconds_below() - below);
  context_.log.add_bytes(Stage::kTransfer, sink_.bytes() - before);
  return stats.late_bytes;
}

}  // namespace martlet::migrate
