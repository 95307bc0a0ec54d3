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

// The terms of uniformisation: the probability of k events in the time, and the mean time between
// the k-th and the next.
class Series {
 public:
  struct Term {
    double weight = 0;
    double hours = 0;
  };

  Series(double q, double hours) : q_(q), poisson_(poisson_weights(q * hours)) {
    later_.resize(poisson_.weights.size());  // probability of more than first + i events
    for (size_t i = later_.size() - 1; i-- > 0;)
      later_[i] = later_[i + 1] + poisson_.weights[i + 1];
  }

  size_t last() const { return poisson_.first + poisson_.weights.size() - 1; }
  double left_out() const { return poisson_.left_out; }

  Term at(size_t k) const {
    if (k < poisson_.first) return {0, 1 / q_};
    return {poisson_.weights[k - poisson_.first], later_[k - poisson_.first] / q_};
  }
  Term all_from(size_t k) const {
    Term sum;
    for (; k <= last(); ++k) {
      const Term term = at(k);
      sum.weight += term.weight;
      sum.hours += term.hours;
    }
    return sum;
  }

 private:
  double q_;
  PoissonWeights poisson_;
  std::vector<double> later_;
};

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

// p ← Σ w_k·v_k and L ← L + Σ t_k·v_k, with v_k = p·U^k.
void Evolution::advance_by_series(double hours) {
  const double q = chain_.max_exit_rate();
  const size_t n = chain_.size();
  if (q == 0) {
    for (size_t i = 0; i < n; ++i) cumulated_[i] += hours * distribution_[i];
    return;
  }
  const Series series(q, hours);
  std::vector<double> v = distribution_;
  std::vector<double> next(n);
  std::vector<double> result(n, 0.0);
  for (size_t k = 0;; ++k) {
    const bool settled = k % kCheckEach == 0 && has_settled(v);
    const Series::Term term = settled ? series.all_from(k) : series.at(k);
    if (term.weight > 0)
      for (size_t j = 0; j < n; ++j) result[j] += term.weight * v[j];
    if (cumulated_time_ == CumulatedTime::kYes)
      for (size_t j = 0; j < n; ++j) cumulated_[j] += term.hours * v[j];
    if (settled) error_bound_ += 2 * kSettled;
    if (settled || k == series.last()) break;
    for (size_t j = 0; j < n; ++j)
      next[j] = v[j] * ((q - arcs_.exit[j]) / q) + arcs_.flow_into(j, v) / q;
    v.swap(next);
  }
  scale_to_one(result);
  distribution_ = std::move(result);
  const double longest_sum = static_cast<double>(chain_.arcs()) / static_cast<double>(n) + 4;
  error_bound_ +=
      2 * series.left_out() + static_cast<double>(series.last()) * longest_sum * kEpsilon;
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
