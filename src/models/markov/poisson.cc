#include "models/markov/poisson.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace martlet::models {
namespace {

constexpr double kNegligible = 1e-22;  // of the largest weight

}  // namespace

PoissonWeights poisson_weights(double mean) {
  const double mode = std::floor(mean);
  std::vector<double> below;
  double weight = 1;
  for (double k = mode; k > 0 && weight > kNegligible; --k) {
    weight *= k / mean;
    below.push_back(weight);
  }
  // What is left out on either side is less than a geometric series from the last weight on.
  double left_out = 0;
  const double lowest = mode - static_cast<double>(below.size());
  if (lowest > 0) left_out += weight * lowest / (mean - lowest);
  PoissonWeights result{.first = static_cast<size_t>(lowest),
                        .weights = {below.rbegin(), below.rend()}};
  result.weights.push_back(1);
  weight = 1;
  double k = mode;
  while (weight > kNegligible) {
    weight *= mean / ++k;
    result.weights.push_back(weight);
  }
  left_out += weight * mean / (k + 1 - mean);
  const double sum = std::accumulate(result.weights.begin(), result.weights.end(), 0.0);
  for (double& each : result.weights) each /= sum;
  result.left_out = left_out / sum;
  return result;
}

size_t poisson_quantile(double mean, double tail) {
  const PoissonWeights poisson = poisson_weights(mean);
  double above = poisson.left_out;
  size_t n = poisson.first + poisson.weights.size() - 1;
  for (size_t i = poisson.weights.size(); i-- > 0; --n) {
    above += poisson.weights[i];
    if (above > tail || n == 0) break;
  }
  return n;
}

}  // namespace martlet::models
