// The rounds of iterative migration (pre-copy), and where they end.
//
// Source: Aleksankov 2017 for V_0 = V, T_i = V_i/R, V_{i+1} = min(W, w·T_i), with the working-set
// curve D(T_i) in the place of min(W, w·T_i), of which it is the general form; Mirkin 2008 for
// stopping criterion I. Valid while the container's load and the link's rate are steady.
#pragma once

#include <cstdint>

#include "models/bounds.h"
#include "models/working_set.h"

namespace martlet::models {

enum class StopRule {
  kMaxPause,    // what is left can be sent within the limit, and a round more is not worth its stop
  kCriterion1,  // nothing left; or more than the round before; or more than N/2^i after round i
};

// A round that leaves more than this share of what the round before left does not help.
inline constexpr double kHelpfulShare = 0.9;

// Whether a further round takes more off the pause than twice what it stops the container for: less
// so the less the last one did. `left` is what there is to send, which takes `seconds`; `before`,
// what there was before the last round.
bool is_worth_a_round(double left, double before, double seconds, double stop_seconds);

struct RoundLimits {
  StopRule rule = StopRule::kMaxPause;
  uint32_t max_rounds = 30;
  double enough_pages = 0;  // kMaxPause: no more than these are left at the limit
  // Made when the rounds have ended with more than enough_pages left: in a move, of what was
  // written while files caught up.
  uint32_t rounds_after = 0;
};

struct RoundCosts {
  Bounds seconds_per_page;   // to send one, link and processors together; lower > 0
  double fixed_seconds = 0;  // of a round, however little it sends
  double stop_seconds = 0;   // for which the container stands still at its beginning
};

struct Rounds {
  Bounds count;
  Bounds seconds;  // of all rounds together, the container running
  Bounds pages_sent;
  Bounds pages_left;  // for the pause
  // Whether the rounds come to enough_pages: surely (kYes), only if the better bounds are true
  // (kMaybe), or not at all (kNo).
  enum class Converges { kYes, kMaybe, kNo } converges = Converges::kYes;
};

// All rounds, the first of which sends every page of the curve.
Rounds run_rounds(const WorkingSetCurve& curve, const RoundCosts& costs, const RoundLimits& limits);

}  // namespace martlet::models
