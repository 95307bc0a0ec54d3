// Poisson weights e^-m·m^k/k! of one mean, from where they begin to matter until they no longer do.
#pragma once

#include <cstddef>
#include <vector>

namespace martlet::models {

struct PoissonWeights {
  size_t first = 0;             // k of weights[0]
  std::vector<double> weights;  // their sum is 1
  double left_out = 0;          // at most this much probability lies outside
};

// Outwards from the largest weight, then divided by the sum (the idea of Fox and Glynn 1988), so
// that nothing under- or overflows and no logarithm costs digits. mean >= 0 and finite.
PoissonWeights poisson_weights(double mean);

// The smallest n for which a Poisson variable exceeds n with probability of at most `tail`.
size_t poisson_quantile(double mean, double tail);

}  // namespace martlet::models
