// When the rounds of pre-copy end, and how: a pure decision over what the rounds so far have shown.
#pragma once

#include <string>
#include <vector>

#include "migrate/options.h"
#include "migrate/stages.h"

namespace martlet::migrate {

enum class NextStep { kAnotherRound, kFreeze, kThrottle, kPostcopy, kCancel };

struct Decision {
  NextStep step;
  std::string reason;  // one clause, for people
};

struct RoundContext {
  uint64_t memory_bytes = 0;   // what the first round found
  Nanoseconds elapsed{};       // since the migration began
  Nanoseconds max_pause{};     // as it is now, see Tuning
  int throttle_percent = 100;  // of its processor time that the container still gets
};

// Below this a container is not slowed down any further.
inline constexpr int kLowestThrottlePercent = 10;

// After each round; `rounds` is not empty, its last element the round just done.
Decision decide(const std::vector<RoundReport>& rounds, const Options& options,
                const RoundContext& context);

// models::is_worth_a_round() of a move; `left_bytes`: what there is to send now.
bool is_worth_a_round(const RoundReport& last, uint64_t left_bytes);

// What the pause would be if the container were frozen now.
double expected_pause_seconds(uint64_t bytes_left, double link_rate, double stopped_seconds);

}  // namespace martlet::migrate
