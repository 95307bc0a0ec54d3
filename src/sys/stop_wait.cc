#include "sys/stop_wait.h"

#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>

namespace martlet::sys {

StopWait::PreciseSleep::PreciseSleep() : before_(::prctl(PR_GET_TIMERSLACK)) {
  ::prctl(PR_SET_TIMERSLACK, 1ul);
}

StopWait::PreciseSleep::~PreciseSleep() {
  if (before_ > 0) ::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(before_));
}

void StopWait::pause() {
  constexpr Nanoseconds kPrompt = std::chrono::microseconds(5);
  constexpr Nanoseconds kLongestSleep = std::chrono::microseconds(500);
  if (waited() < kPrompt) {
    ::sched_yield();
    return;
  }
  if (!sleep_) sleep_.emplace();
  clock_.sleep_for(step_);
  step_ = std::min(2 * step_, kLongestSleep);
}

}  // namespace martlet::sys
