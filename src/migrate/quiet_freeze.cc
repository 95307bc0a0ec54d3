#include "migrate/quiet_freeze.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"

namespace martlet::migrate {

namespace {

// A peer repeats its first segment after a second, so none notices that it waited this long.
constexpr Nanoseconds kLongestWait = std::chrono::milliseconds(800);
constexpr Nanoseconds kLookAgain = std::chrono::milliseconds(1);
// Connections of the container to itself do not wait outside.
constexpr int kAttempts = 20;

class Freezer {
 public:
  Freezer(SourceContainer& container, PacketHold* hold, Clock& clock,
          const Cancellation& cancellation)
      : container_(container), hold_(hold), clock_(clock), cancellation_(cancellation) {}

  Result<QuietFreeze> run() {
    auto frozen = attempt();
    if (!frozen) deliver();
    return frozen;
  }

 private:
  Result<QuietFreeze> attempt() {
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      TRY(wait_until_accepted());
      QuietFreeze frozen;
      frozen.container = TRY(container_.freeze());
      frozen.since = clock_.now() - frozen.container->freeze_time();
      auto held = hold();
      if (held && waiting_.empty()) return frozen;
      TRY(let_go(*frozen.container));
      TRY(std::move(held));
    }
    return refuse();
  }

  Result<void> hold() {
    if (hold_) TRY(hold_->begin());
    TRY(container_.hold_network());
    waiting_ = container_.connections_in_setup();
    return {};
  }

  Result<void> wait_until_accepted() {
    bool first = waiting_.empty();
    waiting_ = container_.connections_in_setup();
    if (first && waiting_.empty()) return {};
    if (hold_) TRY(hold_->hold_back_connections());
    if (deadline_.count() == 0) deadline_ = clock_.now() + kLongestWait;
    while (!waiting_.empty()) {
      TRY(cancellation_.check());
      if (clock_.now() >= deadline_) return refuse();
      clock_.sleep_for(kLookAgain);
      waiting_ = container_.connections_in_setup();
    }
    return {};
  }

  std::unexpected<Error> refuse() const {
    return std::unexpected(
        Error(Code::kUnsupported,
              fmt::format("connections are waiting to be accepted by the container: {}",
                          fmt::join(waiting_, ", ")))
            .with_remedy("try again when its program accepts them"));
  }

  // What the container says as soon as it goes on must find the network.
  Result<void> let_go(FrozenContainer& frozen) {
    if (auto released = container_.release_network(); !released)
      spdlog::error("{}", released.error().to_string());
    auto thawed = frozen.thaw();
    deliver();
    return thawed;
  }

  // Everything that waited reaches the container.
  void deliver() {
    if (!hold_) return;
    if (auto delivered = hold_->deliver_here(); !delivered)
      spdlog::warn("held packets: {}", delivered.error().to_string());
  }

  SourceContainer& container_;
  PacketHold* hold_;
  Clock& clock_;
  const Cancellation& cancellation_;
  std::vector<std::string> waiting_;
  Nanoseconds deadline_{};
};

}  // namespace

Result<QuietFreeze> freeze_between_connections(SourceContainer& container, PacketHold* hold,
                                               Clock& clock, const Cancellation& cancellation) {
  return Freezer(container, hold, clock, cancellation).run();
}

}  // namespace martlet::migrate
