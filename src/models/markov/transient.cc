#include "models/markov/transient.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "models/markov/poisson.h"
#include "models/markov/squaring.h"
#include "models/markov/stationary.h"

namespace martlet::models {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr size_t kSquaringLimit = 1500;  // states: its matrices still fit the caches' reach
constexpr size_t kSmall = 200;           // states, for which a stationary distribution does not pay
constexpr double kSettled = 1e-12;       // distance from the stationary distribution
constexpr size_t kCheckEach = 64;        // events
constexpr double kWorkLimit = 2e11;      // multiplications in one step

double series_work(const Chain& chain, double hours) {
  const double events = chain.max_exit_rate() * hours;
  return (events + 10 * std::sqrt(events) + 30) *
         static_cast<double>(chain.arcs() + 2 * chain.size());
}

double squaring_work(const Chain& chain, double hours) {
  const auto n = static_cast<double>(chain.size());
  return (2 * squarings(chain, hours) + 15) * (n * n * n / 4 + n * n + 100);
}

void scale_to_one(std::vector<double>& distribution) {
  double sum = 0;
  for (const double value : distribution) sum += value;
  for (double& value : distribution) value /= sum;
}

}  // namespace

struct Evolution::Matrix {
  double hours;
  TransitionMatrix step;
};

Evolution::Evolution(const Chain& chain, std::vector<double> start, TransientMethod method,
                     CumulatedTime cumulated_time)
    : chain_(chain),
      method_(method),
      cumulated_time_(cumulated_time),
      arcs_(incoming_arcs(chain)),
      distribution_(std::move(start)),
      cumulated_(chain.size(), 0.0) {
  CHECK(distribution_.size() == chain.size());
}

Evolution::~Evolution() = default;

void Evolution::restart(std::vector<double> start) {
  CHECK(start.size() == chain_.size());
  distribution_ = std::move(start);
  std::ranges::fill(cumulated_, 0.0);
  now_ = error_bound_ = 0;
}

Result<void> Evolution::advance(double hours) {
  if (!(hours >= 0) || !std::isfinite(hours))
    return fail(Code::kInvalidArgument,
                fmt::format("a time of {} hours: times must not fall, and be finite", hours));
  if (hours == 0) return {};
  if (TRY(choose(hours)) == TransientMethod::kSquaring)
    advance_by_matrix(hours);
  else
    advance_by_series(hours);
  now_ += hours;
  return {};
}

TransientMethod cheaper_method(const Chain& chain, double hours, size_t distributions) {
  const double series = series_work(chain, hours) * static_cast<double>(distributions);
  return chain.size() <= kSquaringLimit && squaring_work(chain, hours) < series
             ? TransientMethod::kSquaring
             : TransientMethod::kUniformisation;
}

Result<TransientMethod> Evolution::choose(double hours) const {
  const TransientMethod method =
      method_ == TransientMethod::kCheaper ? cheaper_method(chain_, hours) : method_;
  if (method == TransientMethod::kSquaring || series_work(chain_, hours) <= kWorkLimit)
    return method;
  size_t fastest = 0;
  for (size_t i = 0; i < chain_.size(); ++i)
    if (chain_.exit_rate(i) > chain_.exit_rate(fastest)) fastest = i;
  return std::unexpected(
      Error(Code::kUnsupported,
            fmt::format("{} hours of a chain of {} states that leaves '{}' {} times an hour", hours,
                        chain_.size(), chain_.state(fastest).name, chain_.exit_rate(fastest)))
          .with_remedy("ask for a shorter time, or merge the states that are left at once"));
}

bool Evolution::has_settled(const std::vector<double>& v) const {
  if (stationary_.empty()) return false;
  double distance = 0;
  for (size_t j = 0; j < v.size(); ++j) distance += std::abs(v[j] - stationary_[j]);
  return distance <= kSettled;
}

// p ← Σ w_k·v_k and L ← L + Σ P(more than k events)/q·v_k, with v_k = p·U^k.
void Evolution::advance_by_series(double hours) {
  const double q = chain_.max_exit_rate();
  const size_t n = chain_.size();
  if (q == 0) {
    for (size_t i = 0; i < n; ++i) cumulated_[i] += hours * distribution_[i];
    return;
  }
  const PoissonWeights poisson = poisson_weights(q * hours);
  std::vector<double> later(poisson.weights.size());  // more than first + i events
  for (size_t i = later.size() - 1; i-- > 0;) later[i] = later[i + 1] + poisson.weights[i + 1];
  std::vector<double> stays(n);
  for (size_t j = 0; j < n; ++j) stays[j] = (q - arcs_.exit[j]) / q;
  std::vector<double> v = distribution_;
  std::vector<double> next(n);
  std::vector<double> result(n, 0.0);
  const size_t last = poisson.first + poisson.weights.size() - 1;
  // All of the terms from k on, as v does not change any more.
  const auto finish_settled = [&](size_t k) {
    double weight = 0;
    double time = k < poisson.first ? static_cast<double>(poisson.first - k) / q : 0;
    for (size_t i = std::max(k, poisson.first) - poisson.first; i < later.size(); ++i) {
      weight += poisson.weights[i];
      time += later[i] / q;
    }
    for (size_t j = 0; j < n; ++j) {
      cumulated_[j] += time * v[j];
      result[j] += weight * v[j];
    }
    error_bound_ += 2 * kSettled;
  };
  for (size_t k = 0; k <= last; ++k) {
    const bool matters = k >= poisson.first;
    const double weight = matters ? poisson.weights[k - poisson.first] : 0;
    if (cumulated_time_ == CumulatedTime::kYes) {
      const double time = (matters ? later[k - poisson.first] : 1) / q;
      for (size_t j = 0; j < n; ++j) cumulated_[j] += time * v[j];
    }
    if (matters)
      for (size_t j = 0; j < n; ++j) result[j] += weight * v[j];
    if (k == last) break;
    if (k % kCheckEach == 0 && has_settled(v)) {
      finish_settled(k + 1);
      break;
    }
    for (size_t j = 0; j < n; ++j) next[j] = v[j] * stays[j] + arcs_.flow_into(j, v) / q;
    v.swap(next);
  }
  scale_to_one(result);
  distribution_ = std::move(result);
  const double longest_sum = static_cast<double>(chain_.arcs()) / static_cast<double>(n) + 4;
  error_bound_ += 2 * poisson.left_out + static_cast<double>(last) * longest_sum * kEpsilon;
}

void Evolution::advance_by_matrix(double hours) {
  const double same = 4 * kEpsilon * (now_ + hours);  // grids of times have rounding errors
  if (!matrix_ || std::abs(matrix_->hours - hours) > same)
    matrix_ = std::make_unique<Matrix>(Matrix{hours, cumulated_time_ == CumulatedTime::kYes
                                                         ? transition_matrix(chain_, hours)
                                                         : transition_probability(chain_, hours)});
  const auto n = static_cast<Eigen::Index>(chain_.size());
  const Eigen::Map<const Eigen::RowVectorXd> before(distribution_.data(), n);
  if (cumulated_time_ == CumulatedTime::kYes) {
    Eigen::Map<Eigen::RowVectorXd> sum(cumulated_.data(), n);
    sum += before * matrix_->step.cumulated;
  }
  const Eigen::RowVectorXd after = before * matrix_->step.probability;
  std::ranges::copy(after, distribution_.begin());
  scale_to_one(distribution_);
  error_bound_ += (2 * squarings(chain_, hours) + 16) * static_cast<double>(n) * kEpsilon;
}

Result<std::vector<TransientPoint>> transient(const Chain& chain, const std::vector<double>& hours,
                                              TransientMethod method) {
  std::vector<double> down = chain.up_indicator();
  for (double& value : down) value = 1 - value;
  const std::vector<double> rewards = chain.rewards();
  Evolution evolution(chain, chain.start(), method);
  if (chain.size() > kSmall)
    if (auto stationary = stationary_distribution(chain)) evolution.ends_in(std::move(*stationary));
  std::vector<TransientPoint> points;
  double before = 0;
  for (const double time : hours) {
    TRY(evolution.advance(time - before));
    before = time;
    points.push_back({.hours = time,
                      .unavailability = dot(evolution.distribution(), down),
                      .reward = dot(evolution.distribution(), rewards),
                      .down_hours = dot(evolution.cumulated(), down),
                      .cumulated_reward = dot(evolution.cumulated(), rewards),
                      .error_bound = evolution.error_bound()});
  }
  return points;
}

}  // namespace martlet::models
