// A chain over time: the distribution p(t) = p(0)·e^{Qt} and the hours spent in each state.
//
// An Evolution goes forward in steps. Each step is made by the cheaper of two methods:
//  - uniformisation (Jensen 1953): p(t) = Σ_k Poisson(k; q·t)·p(0)·U^k with U = I + Q/q and q the
//    largest exit rate. Its cost grows with q·t and with the number of arcs.
//  - squaring (models/markov/squaring.h), for chains of a few hundred states and large q·t. Its
//    cost grows with log(q·t) and the cube of the number of states.
// Both only add and multiply non-negative numbers. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/markov/chain.h"
#include "models/markov/incoming.h"

namespace martlet::models {

enum class TransientMethod { kCheaper, kUniformisation, kSquaring };

// Whether the hours in each state are wanted, too; without them squaring takes half of the work.
enum class CumulatedTime { kNo, kYes };

class Evolution {
 public:
  // Keeps a reference to the chain. `start` sums to 1 and has a value for each state.
  Evolution(const Chain& chain, std::vector<double> start,
            TransientMethod method = TransientMethod::kCheaper,
            CumulatedTime cumulated_time = CumulatedTime::kYes);
  explicit Evolution(const Chain& chain) : Evolution(chain, chain.start()) {}
  ~Evolution();

  // kInvalidArgument if `hours` is negative or not finite; kUnsupported if the step would take
  // hours of work, with the rate that makes it so long.
  Result<void> advance(double hours);

  // The stationary distribution, if it is known. The distance from it never grows, so once it is
  // below 1e-12 the rest of a series needs no more products.
  void ends_in(std::vector<double> stationary) { stationary_ = std::move(stationary); }

  // Back to time 0, with another distribution.
  void restart(std::vector<double> start);

  double now() const { return now_; }  // hours
  const std::vector<double>& distribution() const { return distribution_; }
  // Hours spent in each state until now, if they were wanted.
  const std::vector<double>& cumulated() const { return cumulated_; }
  // Bound of Σ|error| of the distribution: what the series left out, and rounding.
  double error_bound() const { return error_bound_; }

 private:
  struct Matrix;  // a step of squaring, kept for further steps of the same length
  Result<TransientMethod> choose(double hours) const;
  bool has_settled(const std::vector<double>& v) const;
  void advance_by_series(double hours);
  void advance_by_matrix(double hours);

  const Chain& chain_;
  TransientMethod method_;
  CumulatedTime cumulated_time_;
  IncomingArcs arcs_;
  std::vector<double> distribution_;
  std::vector<double> cumulated_;
  std::vector<double> stationary_;  // empty: not known
  double now_ = 0;
  double error_bound_ = 0;
  std::unique_ptr<Matrix> matrix_;
};

// The method that is cheaper for a step of this length, made from several distributions.
TransientMethod cheaper_method(const Chain& chain, double hours, size_t distributions = 1);

// What is shown of a chain at one time.
struct TransientPoint {
  double hours = 0;
  double unavailability = 0;  // 1 - K(t)
  double reward = 0;          // per hour, at this time
  double down_hours = 0;      // expected until now
  double cumulated_reward = 0;
  double error_bound = 0;
};
// At each of `hours`, which must not fall, from the initial state on.
Result<std::vector<TransientPoint>> transient(const Chain& chain, const std::vector<double>& hours,
                                              TransientMethod method = TransientMethod::kCheaper);

}  // namespace martlet::models
