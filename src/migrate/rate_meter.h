// The rate at which a growing count of bytes has grown lately.
#pragma once

#include <cstdint>
#include <deque>

#include "base/clock.h"

namespace martlet::migrate {

class RateMeter {
 public:
  static constexpr Nanoseconds kWindow = std::chrono::seconds(1);

  void restart(Nanoseconds now) { samples_ = {{.at = now, .bytes = 0}}; }

  // Adds a sample; bytes per second since the last one that is at least the window old.
  double add(Nanoseconds now, uint64_t bytes) {
    if (samples_.empty()) restart(now);
    samples_.push_back({.at = now, .bytes = bytes});
    while (samples_.size() > 2 && samples_[1].at + kWindow <= now) samples_.pop_front();
    const Sample& first = samples_.front();
    if (now <= first.at || bytes < first.bytes) return 0;
    return static_cast<double>(bytes - first.bytes) /
           std::chrono::duration<double>(now - first.at).count();
  }

 private:
  struct Sample {
    Nanoseconds at;
    uint64_t bytes;
  };
  std::deque<Sample> samples_;
};

}  // namespace martlet::migrate
