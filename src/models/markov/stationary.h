// The long run of a chain: where it is, how often it fails, what that depends on.
#pragma once

#include <vector>

#include "models/markov/chain.h"
#include "models/markov/chain_model.h"

namespace martlet::models {

// The stationary distribution π: π·Q = 0, Σπ = 1. Up to 500 states by elimination without
// subtraction, more by levels (models/markov/multilevel.h). States outside of the closed class have
// probability 0; two closed classes are an error that names a state of each.
Result<std::vector<double>> stationary_distribution(const Chain& chain);

// What the distribution says of the service. Times in hours, a year has 8766.
struct Availability {
  double unavailability = 0;  // 1 - K, summed over the states that are down: it loses no digits
  double reward = 0;          // per hour
  double interruptions_per_hour = 0;
  double mean_interruption = 0;  // hours; 0 if there is none

  double availability() const { return 1 - unavailability; }  // K
  double downtime_minutes_per_year() const { return unavailability * 8766 * 60; }
  // K = 0.999 has 3; not rounded. Infinite if it is never down.
  double nines() const;
};
Result<Availability> availability(const Chain& chain);
Availability availability_of(const Chain& chain, const std::vector<double>& stationary);

// The mean time from the initial state until the service is first down, hours. An error if it never
// is; 0 if it is at the start. Source: the means x solve -T·x = 1 over the states that are up.
Result<double> mean_time_to_failure(const Chain& chain);

// How the long run depends on one parameter.
struct Sensitivity {
  std::string parameter;
  double value = 0;
  double unavailability = 0;  // d(1 - K)/d parameter
  double reward = 0;          // d(reward per hour)/d parameter
  // The change of 1 - K, as a share of it, for a change of the parameter as a share of it.
  double elasticity = 0;
};

// Exactly, for each of `parameters` (empty: all). Chains of at most 3000 states.
Result<std::vector<Sensitivity>> sensitivities(const ChainModel& model,
                                               const ParameterValues& values = {},
                                               std::vector<std::string> parameters = {});

}  // namespace martlet::models
