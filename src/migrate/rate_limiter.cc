#include "migrate/rate_limiter.h"

#include <algorithm>

namespace martlet::migrate {

namespace {

uint64_t burst_of(uint64_t rate) {
  constexpr uint64_t kStepsPerSecond = std::chrono::seconds(1) / RateLimiter::kStep;
  return std::max(RateLimiter::kMinBurst, rate / kStepsPerSecond);
}

}  // namespace

RateLimiter::RateLimiter(Clock& clock, const std::atomic<uint64_t>& rate)
    : clock_(clock), rate_(rate), refilled_at_(clock.now()) {}

size_t RateLimiter::piece() const {
  const uint64_t rate = rate_.load();
  return rate == 0 ? SIZE_MAX : static_cast<size_t>(burst_of(rate));
}

Result<void> RateLimiter::take(uint64_t bytes, const Cancellation* cancellation) {
  uint64_t position = 0;
  {
    const std::lock_guard lock(mutex_);
    position = asked_;
    asked_ += bytes;
  }
  for (;;) {
    const Nanoseconds wait = wait_for(position);
    if (wait <= Nanoseconds::zero()) return {};
    if (cancellation) TRY(cancellation->check());
    clock_.sleep_for(std::min(wait, kStep));
  }
}

Nanoseconds RateLimiter::wait_for(uint64_t position) {
  const uint64_t rate = rate_.load();
  const std::lock_guard lock(mutex_);
  refill(rate);
  const double missing = static_cast<double>(position) - allowed_;
  if (missing <= 0) return Nanoseconds::zero();
  const std::chrono::duration<double> seconds(missing / static_cast<double>(rate));
  return std::chrono::ceil<Nanoseconds>(std::min(seconds, std::chrono::duration<double>(kStep)));
}

// Time in which nobody asked earns one burst and not more.
void RateLimiter::refill(uint64_t rate) {
  const Nanoseconds now = clock_.now();
  const double elapsed = std::chrono::duration<double>(now - refilled_at_).count();
  refilled_at_ = now;
  const double full = static_cast<double>(asked_ + burst_of(rate));
  allowed_ = rate == 0 ? full : std::min(full, allowed_ + elapsed * static_cast<double>(rate));
}

}  // namespace martlet::migrate
