#include "models/markov/squaring.h"

#include <algorithm>
#include <cmath>

#include "models/markov/poisson.h"

namespace martlet::models {
namespace {

constexpr double kShort = 0.25;  // mean number of events in the time of the series

// The chain at the jumps of a Poisson process of rate q: U = I + Q/q.
Eigen::MatrixXd uniformised(const Chain& chain, double q) {
  const auto n = static_cast<Eigen::Index>(chain.size());
  Eigen::MatrixXd u = Eigen::MatrixXd::Zero(n, n);
  for (Eigen::Index i = 0; i < n; ++i) {
    u(i, i) = (q - chain.exit_rate(static_cast<size_t>(i))) / q;
    for (const Arc& arc : chain.from(static_cast<size_t>(i)))
      u(i, static_cast<Eigen::Index>(arc.to)) = arc.rate / q;
  }
  return u;
}

void make_rows_sum_to(Eigen::MatrixXd& matrix, double sum) {
  for (Eigen::Index i = 0; i < matrix.rows(); ++i) {
    const double others = matrix.row(i).sum() - matrix(i, i);
    if (matrix(i, i) > others)
      matrix(i, i) = sum - others;
    else
      matrix.row(i) *= sum / (others + matrix(i, i));
  }
}

TransitionMatrix over_short_time(const Chain& chain, double q, double hours) {
  const auto n = static_cast<Eigen::Index>(chain.size());
  const PoissonWeights poisson = poisson_weights(q * hours);
  const Eigen::MatrixXd u = uniformised(chain, q);
  TransitionMatrix result{Eigen::MatrixXd::Zero(n, n), Eigen::MatrixXd::Zero(n, n)};
  Eigen::MatrixXd power = Eigen::MatrixXd::Identity(n, n);
  double later = 1;  // probability of more than k events
  for (size_t k = 0; k < poisson.weights.size(); ++k) {
    later = 0;
    for (size_t rest = poisson.weights.size() - 1; rest > k; --rest) later += poisson.weights[rest];
    result.probability += poisson.weights[k] * power;
    result.cumulated += later / q * power;
    power = power * u;
  }
  make_rows_sum_to(result.probability, 1);
  make_rows_sum_to(result.cumulated, hours);
  return result;
}

}  // namespace

int squarings(const Chain& chain, double hours) {
  const double events = chain.max_exit_rate() * hours;
  return events > kShort ? static_cast<int>(std::ceil(std::log2(events / kShort))) : 0;
}

namespace {

enum class Cumulate { kNo, kYes };

TransitionMatrix squared(const Chain& chain, double hours, Cumulate cumulate) {
  const double q = chain.max_exit_rate();
  const auto n = static_cast<Eigen::Index>(chain.size());
  if (q == 0 || hours == 0)
    return {Eigen::MatrixXd::Identity(n, n), hours * Eigen::MatrixXd::Identity(n, n)};
  const int count = squarings(chain, hours);
  double reached = std::ldexp(hours, -count);
  TransitionMatrix result = over_short_time(chain, q, reached);
  if (cumulate == Cumulate::kNo) result.cumulated.resize(0, 0);
  for (int i = 0; i < count; ++i) {
    reached *= 2;
    if (cumulate == Cumulate::kYes) {
      result.cumulated += result.probability * result.cumulated;
      make_rows_sum_to(result.cumulated, reached);
    }
    result.probability = result.probability * result.probability;
    make_rows_sum_to(result.probability, 1);
  }
  return result;
}

}  // namespace

TransitionMatrix transition_matrix(const Chain& chain, double hours) {
  return squared(chain, hours, Cumulate::kYes);
}

TransitionMatrix transition_probability(const Chain& chain, double hours) {
  return squared(chain, hours, Cumulate::kNo);
}

}  // namespace martlet::models
