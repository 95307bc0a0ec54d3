// Injected time. Everything above the engine takes a Clock, so that it also runs in simulated time.
#pragma once

#include <chrono>

namespace martlet {

using Nanoseconds = std::chrono::nanoseconds;

constexpr double in_seconds(Nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Nanoseconds now() const = 0;  // monotonic, since an arbitrary origin
  virtual void sleep_for(Nanoseconds duration) = 0;
};

class SystemClock final : public Clock {
 public:
  Nanoseconds now() const override;
  void sleep_for(Nanoseconds duration) override;
};

// Seconds since construction (or restart()), for measuring stages.
class Stopwatch {
 public:
  explicit Stopwatch(const Clock& clock) : clock_(clock), start_(clock.now()) {}
  Nanoseconds elapsed() const { return clock_.now() - start_; }
  double seconds() const { return in_seconds(elapsed()); }
  void restart() { start_ = clock_.now(); }

 private:
  const Clock& clock_;
  Nanoseconds start_;
};

}  // namespace martlet
