// What the caller of a migration asks for, and what can be changed while it runs.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "image/compression.h"

namespace martlet::migrate {

enum class Mode {
  kStop,      // everything is sent while the container is frozen
  kPrecopy,   // memory is sent in rounds while it runs, the rest while it is frozen
  kPostcopy,  // it runs on the destination at once, its memory follows (network swap)
  kHybrid,    // rounds, then post-copy of the rest
  kAuto,      // the mode whose prediction fits the limits
};

// When the rounds of pre-copy end.
enum class StopRule {
  kMaxPause,    // as soon as the predicted pause is within max_pause
  kCriterion1,  // stopping criterion I of docs/models.md
};

// What follows if the rounds do not come within the limits.
enum class OnNoConvergence { kThrottle, kPostcopy, kStop, kCancel };

using Compression = image::Codec;

inline constexpr uint32_t kMaxStreams = 16;

struct Options {
  Mode mode = Mode::kAuto;
  StopRule stop_rule = StopRule::kMaxPause;
  OnNoConvergence on_no_convergence = OnNoConvergence::kThrottle;
  Nanoseconds max_pause = std::chrono::milliseconds(50);
  uint32_t max_rounds = 30;
  Nanoseconds max_time{};  // of the whole move; 0: no limit
  // The caller named a limit, so the mode that is left open must keep to it.
  bool limits_bind = false;
  uint64_t bandwidth = 0;  // bytes per second for all of the state together; 0: no limit
  uint32_t streams = 1;    // connections that carry the state, 1 to kMaxStreams
  Compression compression = Compression::kNone;
  Nanoseconds push_after{};  // post-copy: from the thaw to the push of everything that is left
};

constexpr bool leaves_memory(Mode mode) {
  return mode == Mode::kPostcopy || mode == Mode::kHybrid;
}

// Whether memory may follow after the container runs on the destination.
constexpr bool may_leave_memory(const Options& options) {
  return leaves_memory(options.mode) ||
         (options.mode != Mode::kStop && options.on_no_convergence == OnNoConvergence::kPostcopy);
}

// Limits of a running migration that its caller may change at any time, from any thread.
struct Tuning {
  explicit Tuning(const Options& options)
      : bandwidth(options.bandwidth), max_pause(options.max_pause) {}
  std::atomic<uint64_t> bandwidth;
  std::atomic<Nanoseconds> max_pause;
};

}  // namespace martlet::migrate
