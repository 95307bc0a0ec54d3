// For tests of chains: small known ones, random ones, solutions by other means, and a simulation.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <random>

#include "base/test_util.h"
#include "models/markov/chain.h"

namespace martlet::models {

// States "0", "1", ..., of which the first `up` are up.
inline Chain chain_of(size_t states, const std::vector<Rate>& rates, size_t up,
                      size_t initial = 0) {
  std::vector<ChainState> list;
  for (size_t i = 0; i < states; ++i)
    list.push_back(
        {fmt::format("{}", i), i < up ? Service::kUp : Service::kDown, i < up ? 1.0 : 0.0});
  return must(Chain::make(std::move(list), rates, initial));
}

// State k goes up at birth(k) and down at death(k).
inline Chain birth_death(size_t states, const std::function<double(double)>& birth,
                         const std::function<double(double)>& death, size_t up) {
  std::vector<Rate> rates;
  for (size_t k = 0; k + 1 < states; ++k) {
    rates.push_back({k, k + 1, birth(static_cast<double>(k))});
    rates.push_back({k + 1, k, death(static_cast<double>(k + 1))});
  }
  return chain_of(states, rates, up);
}

// Strongly connected, with rates that are uniform on a logarithmic scale.
inline Chain random_chain(std::mt19937& random, size_t states, double low, double high,
                          size_t arcs_per_state = 3) {
  const auto rate = [&] {
    return std::exp(std::uniform_real_distribution(std::log(low), std::log(high))(random));
  };
  std::vector<Rate> rates;
  for (size_t i = 0; i < states; ++i) {
    rates.push_back({i, (i + 1) % states, rate()});
    for (size_t k = 1; k < arcs_per_state; ++k) {
      const size_t to = random() % states;
      if (to != i) rates.push_back({i, to, rate()});
    }
  }
  return chain_of(states, rates, (states + 1) / 2);
}

// π·Q = 0 with Σπ = 1 by Gaussian elimination with pivoting, in the precision of Real.
template <typename Real>
std::vector<Real> solve_stationary(const Chain& chain) {
  const size_t n = chain.size();
  std::vector<std::vector<Real>> a(n, std::vector<Real>(n + 1, Real(0)));
  for (size_t i = 0; i < n; ++i)
    for (const Arc& arc : chain.from(i)) {
      a[arc.to][i] += Real(arc.rate);
      a[i][i] -= Real(arc.rate);
    }
  for (size_t i = 0; i <= n; ++i) a[n - 1][i] = Real(1);
  const auto size_of = [](Real x) { return x < 0 ? -x : x; };
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k + 1; i < n; ++i)
      if (size_of(a[i][k]) > size_of(a[pivot][k])) pivot = i;
    std::swap(a[k], a[pivot]);
    for (size_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const Real factor = a[i][k] / a[k][k];
      for (size_t j = k; j <= n; ++j) a[i][j] -= factor * a[k][j];
    }
  }
  std::vector<Real> result(n);
  for (size_t i = 0; i < n; ++i) result[i] = a[i][n] / a[i][i];
  return result;
}

// What a simulated number of missions says: a mean and its standard error.
struct Estimate {
  double mean = 0;
  double error = 0;
  bool agrees_with(double value) const { return std::abs(value - mean) <= 3 * error + 1e-12; }
};

inline Estimate estimate_of(const std::vector<double>& samples) {
  const auto n = static_cast<double>(samples.size());
  double mean = 0;
  for (const double sample : samples) mean += sample / n;
  double squares = 0;
  for (const double sample : samples) squares += (sample - mean) * (sample - mean);
  return {mean, std::sqrt(squares / (n - 1) / n)};
}

// One walk through the chain for a time, event by event.
struct Walk {
  double down_hours = 0;
  double longest_interruption = 0;
  double first_failure = INFINITY;
};

inline Walk walk(const Chain& chain, double hours, std::mt19937_64& random) {
  Walk result;
  size_t state = chain.initial();
  double now = 0;
  double down_since = chain.is_up(state) ? -1 : 0;
  while (now < hours) {
    double next = hours;
    if (chain.exit_rate(state) > 0)
      next = std::min(hours, now + std::exponential_distribution(chain.exit_rate(state))(random));
    if (down_since >= 0) {
      result.down_hours += next - now;
      result.longest_interruption = std::max(result.longest_interruption, next - down_since);
    }
    now = next;
    if (now >= hours) break;
    double left = std::uniform_real_distribution(0.0, chain.exit_rate(state))(random);
    size_t to = state;
    for (const Arc& arc : chain.from(state)) {
      to = arc.to;
      if ((left -= arc.rate) < 0) break;
    }
    state = to;
    if (chain.is_up(state))
      down_since = -1;
    else if (down_since < 0)
      down_since = now;
    if (!chain.is_up(state)) result.first_failure = std::min(result.first_failure, now);
  }
  return result;
}

// `measure` of each of `runs` walks.
inline Estimate simulate(const Chain& chain, double hours, size_t runs, uint64_t seed,
                         const std::function<double(const Walk&)>& measure) {
  std::mt19937_64 random(seed);
  std::vector<double> samples;
  for (size_t i = 0; i < runs; ++i) samples.push_back(measure(walk(chain, hours, random)));
  return estimate_of(samples);
}

}  // namespace martlet::models
