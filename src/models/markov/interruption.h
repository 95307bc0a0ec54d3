// How likely it is that the service is never away for longer than is allowed.
//
// An interruption is a stay in states that are down, from the moment the chain enters one until it
// is up again.
#pragma once

#include <vector>

#include "models/bounds.h"
#include "models/markov/chain.h"

namespace martlet::models {

// The probability that no interruption within `mission` hours lasts longer than `allowed` hours.
//
// With R(d,u) the probability of going up through u within `allowed` after having come down in d
// (from the transient distribution of the states that are down), the first interruption that is too
// long begins as in a chain of the states that are up, in which a short one takes no time. Counted
// from there it ends the mission `allowed` later. Short interruptions do take time, which delays
// what follows: none of it for the lower bound, `allowed` each for the upper. The bounds are equal
// for allowed = 0 and otherwise closer than the share of time that short interruptions take.
// Chains of at most 1500 states.
Result<Bounds> no_interruption(const Chain& chain, double allowed, double mission);

// A random time that consists of phases (Neuts 1975): the chain starts in phase i with probability
// start[i] and ends from phase i at rate end[i].
struct PhaseType {
  std::vector<double> start;
  std::vector<Rate> rates;  // between phases
  std::vector<double> end;

  // `phases` equal phases in a row: the more, the closer to exactly `mean` hours. Both > 0.
  static PhaseType erlang(size_t phases, double mean);
};

// The same chain, with a further state "interrupted" in which it ends if an interruption lasts
// longer than a time of this kind, drawn anew for each. It is exact; the probability of not being
// in that state at the end of the mission is that of no interruption longer than allowed.
Result<Chain> with_phase_limit(const Chain& chain, const PhaseType& limit);
Result<double> no_interruption(const Chain& chain, const PhaseType& limit, double mission);

}  // namespace martlet::models
