// How to wait for another task to stop, which the kernel tells only who asks.
#pragma once

#include <optional>

#include "base/clock.h"

namespace martlet::sys {

// Nearly all stops come within microseconds, so it yields first. But who yields goes before tasks
// of other control groups and sessions all the same, also before the very task that is waited for
// if that has the same processor, so it soon sleeps, in growing steps.
class StopWait {
 public:
  Nanoseconds waited() const { return clock_.now() - began_; }
  // Until it is time to ask again.
  void pause();

 private:
  // While it lives, sleeps of this thread end when they should, and not up to 50 us later, as the
  // kernel lets them by default.
  class PreciseSleep {
   public:
    PreciseSleep();
    ~PreciseSleep();
    PreciseSleep(const PreciseSleep&) = delete;
    PreciseSleep& operator=(const PreciseSleep&) = delete;

   private:
    int before_;
  };

  SystemClock clock_;
  Nanoseconds began_ = clock_.now();
  Nanoseconds step_ = std::chrono::microseconds(2);
  std::optional<PreciseSleep> sleep_;
};

}  // namespace martlet::sys
