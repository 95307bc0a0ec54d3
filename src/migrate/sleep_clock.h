// A clock for tests of what waits for a time.
#pragma once

#include <atomic>
#include <functional>

#include "base/clock.h"

namespace martlet::migrate {

// Time passes only while somebody sleeps. The hook runs before each sleep.
class SleepClock final : public Clock {
 public:
  Nanoseconds now() const override { return now_.load(); }
  void sleep_for(Nanoseconds duration) override {
    if (on_sleep) on_sleep();
    now_.store(now_.load() + duration);
  }
  std::function<void()> on_sleep;

 private:
  std::atomic<Nanoseconds> now_{std::chrono::seconds(1)};
};

}  // namespace martlet::migrate
