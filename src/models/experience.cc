#include "models/experience.h"

#include <cmath>

namespace martlet::models {
namespace {

constexpr double kNinetyPercent = 1.645;  // standard deviations on either side
// The half width, as a logarithm, of bounds of which the upper is three times the lower.
constexpr double kWidest = 0.5493061443340549;  // log(3) / 2
// Two moves under the same conditions differ by this much; nothing is known better.
constexpr double kNarrowest = 0.22314355131420976;  // log(1.25)
constexpr double kPriorVariance = (kWidest / kNinetyPercent) * (kWidest / kNinetyPercent);
constexpr double kPriorWeight = 1;
// The weight of the costs alone in the mean: what decides where no observation is near.
constexpr double kDoubt = 0.02;
// Stages whose predictions differ by this factor, as a logarithm, count half.
constexpr double kNear = 0.6931471805599453;  // log(2)
// Below this a stage is not measured but noise of the clock and the scheduler.
constexpr double kSmallest = 1e-6;

double weight_of(const PastMove& move) {
  double weight = std::pow(0.9, move.age);
  if (!move.likeness.same_mode) weight /= 8;
  if (!move.likeness.same_container) weight /= 4;
  if (!move.likeness.same_destination) weight /= 2;
  return weight;
}

// A mean of measured / sum over the moves; 0 if there is none.
struct Share {
  double weight = 0;
  double sum = 0;
  void add(double value, double w) {
    weight += w;
    sum += w * value;
  }
  double mean() const { return weight > 0 ? sum / weight : 0; }
};

}  // namespace

void RatioAverage::add(double modelled, double measured, double weight) {
  observations_.push_back({std::log(modelled), std::log(measured / modelled), weight});
}

Bounds RatioAverage::apply(const Bounds& estimate) const {
  if (estimate.upper <= 0) return estimate;
  const double at = std::log(estimate.middle());
  double weight = 0;
  double sum = 0;
  double squares = 0;
  for (const Observation& seen : observations_) {
    const double near = seen.weight / (1 + std::pow((seen.log_modelled - at) / kNear, 2));
    weight += near;
    sum += near * seen.log_ratio;
    squares += near * seen.log_ratio * seen.log_ratio;
  }
  const double mean = sum / (weight + kDoubt);
  const double scatter = squares - mean * (2 * sum - mean * weight);
  const double variance = (kPriorWeight * kPriorVariance + scatter) / (kPriorWeight + weight);
  const double spread =
      std::clamp(kNinetyPercent * std::sqrt(std::max(0.0, variance)), kNarrowest, kWidest);
  if (estimate.lower <= 0) return {0, estimate.upper * std::exp(mean + spread)};
  const double own = std::log(estimate.upper / estimate.lower) / 2;
  const double half = std::max(own, spread);
  return {std::exp(at + mean - half), std::exp(at + mean + half)};
}

Experience::Experience(const std::vector<PastMove>& moves) {
  Share pause;
  Share total;
  for (const PastMove& move : moves) {
    const double weight = weight_of(move);
    double still = 0;
    double all = 0;
    for (size_t i = 0; i < kMoveStages; ++i) {
      all += move.measured[i];
      if (is_pause(static_cast<MoveStage>(i))) still += move.measured[i];
      if (move.modelled[i] > kSmallest && move.measured[i] > kSmallest)
        stages_[i].add(move.modelled[i], move.measured[i], weight);
    }
    if (still > 0) pause.add(move.pause / still, weight);
    if (all > 0) total.add(move.total / all, weight);
  }
  pause_share_ = pause.mean();
  total_share_ = total.mean();
}

Bounds Experience::stage(MoveMode, MoveStage stage, const Bounds& seconds) const {
  return stages_[static_cast<size_t>(stage)].apply(seconds);
}

Bounds Experience::pause(MoveMode, const Bounds& sum) const {
  return pause_share_ > 0 ? sum * pause_share_ : sum;
}

Bounds Experience::total(MoveMode, const Bounds& sum) const {
  return total_share_ > 0 ? sum * total_share_ : sum;
}

}  // namespace martlet::models
