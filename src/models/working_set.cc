#include "models/working_set.h"

namespace martlet::models {

Bounds wilson_interval(uint64_t successes, uint64_t trials) {
  if (trials == 0) return {0, 1};
  constexpr double kZ = 1.96;
  const auto n = static_cast<double>(trials);
  const double share = static_cast<double>(successes) / n;
  const double scale = 1 + kZ * kZ / n;
  const double middle = (share + kZ * kZ / (2 * n)) / scale;
  const double half = kZ / scale * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  return {successes == 0 ? 0 : std::max(0.0, middle - half),
          successes == trials ? 1 : std::min(1.0, middle + half)};
}

WorkingSetCurve::WorkingSetCurve(double pages, const std::vector<DirtyObservation>& observations)
    : pages_(pages) {
  for (const DirtyObservation& seen : observations)
    if (seen.looked_at > 0 && seen.seconds > 0)
      points_.push_back({seen.seconds, wilson_interval(seen.changed, seen.looked_at) * pages});
}

WorkingSetCurve WorkingSetCurve::linear(double pages, double pages_per_second) {
  return linear(pages, pages_per_second, pages);
}

WorkingSetCurve WorkingSetCurve::linear(double pages, double pages_per_second, double working_set) {
  WorkingSetCurve curve(pages);
  if (pages_per_second <= 0 || working_set <= 0) {
    curve.points_.push_back({1, {}});
    return curve;
  }
  // The corner of min(W, w·t), a point next to the origin that fixes the slope, and one far behind
  // the corner that fixes the height.
  constexpr double kNear = 1e-9;
  const double corner = working_set / pages_per_second;
  curve.points_.push_back({corner, Bounds::exactly(working_set)});
  curve.points_.push_back({corner * kNear, Bounds::exactly(working_set * kNear)});
  if (working_set < pages) curve.points_.push_back({corner / kNear, Bounds::exactly(working_set)});
  return curve;
}

Bounds WorkingSetCurve::within(double seconds) const {
  if (seconds <= 0) return {};
  Bounds result{0, pages_};
  for (const Point& point : points_) {
    const double ratio = seconds / point.seconds;
    result.lower = std::max(result.lower, point.pages.lower * std::min(1.0, ratio));
    result.upper = std::min(result.upper, point.pages.upper * std::max(1.0, ratio));
  }
  // Observations that contradict each other come from a load that changed in between.
  result.lower = std::min(result.lower, pages_);
  return {std::min(result.lower, result.upper), std::max(result.lower, result.upper)};
}

Bounds WorkingSetCurve::rate(double seconds) const {
  return within(seconds) * (1 / seconds);
}

}  // namespace martlet::models
