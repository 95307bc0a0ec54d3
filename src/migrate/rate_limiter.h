// The bandwidth limit of one migration: a token bucket that all of its connections share.
//
// Bytes are let through in the order in which they were asked for, so no connection starves. The
// rate is read anew at every step and may be changed at any time; whoever waits goes by the new one
// at most kStep later. All functions may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "base/clock.h"
#include "base/result.h"
#include "migrate/cancellation.h"

namespace martlet::migrate {

class RateLimiter {
 public:
  // At least this many bytes may go at once after a break, and as many as kStep lasts.
  static constexpr uint64_t kMinBurst = 16u << 10;
  static constexpr Nanoseconds kStep = std::chrono::milliseconds(20);

  // `rate` in bytes per second, 0: no limit. Both are borrowed.
  RateLimiter(Clock& clock, const std::atomic<uint64_t>& rate);

  // How many bytes to ask for at a time, so that the flow is even.
  size_t piece() const;
  // Returns once these bytes may be sent. kCancelled; `cancellation` may be null.
  Result<void> take(uint64_t bytes, const Cancellation* cancellation);

 private:
  // Until the byte at `position` may go; none if it may go now.
  Nanoseconds wait_for(uint64_t position);
  void refill(uint64_t rate);

  Clock& clock_;
  const std::atomic<uint64_t>& rate_;

  std::mutex mutex_;  // guards what follows
  uint64_t asked_ = 0;
  double allowed_ = 0;  // at most one burst ahead of asked_
  Nanoseconds refilled_at_;
};

}  // namespace martlet::migrate
