#include "base/clock.h"

#include <thread>

namespace martlet {

Nanoseconds SystemClock::now() const {
  return std::chrono::steady_clock::now().time_since_epoch();
}

void SystemClock::sleep_for(Nanoseconds duration) {
  std::this_thread::sleep_for(duration);
}

}  // namespace martlet
