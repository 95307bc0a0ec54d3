#include "models/precopy.h"

#include <vector>

namespace martlet::models {
namespace {

// One possible course of the rounds: the pages left after each, with [0] before the first.
struct Course {
  std::vector<double> left;
  std::vector<double> seconds;  // of each round
  bool enough = false;          // ended because no more than enough_pages are left

  size_t rounds() const { return seconds.size(); }
  double total_seconds(size_t rounds) const { return sum(seconds, rounds); }
  double total_pages(size_t rounds) const { return sum(left, rounds); }
  double left_after(size_t rounds) const { return left[std::min(rounds, left.size() - 1)]; }

 private:
  static double sum(const std::vector<double>& values, size_t count) {
    double total = 0;
    for (size_t i = 0; i < std::min(count, values.size()); ++i) total += values[i];
    return total;
  }
};

bool ends_by_rule(const Course& course, const RoundLimits& limits) {
  const double left = course.left.back();
  const double before = course.left[course.left.size() - 2];
  if (limits.rule == StopRule::kCriterion1)
    return left < 1 || left > before ||
           left > course.left.front() / std::exp2(static_cast<double>(course.rounds()));
  // Two rounds in a row that leave more than nine tenths of what was left before: one may be a
  // burst.
  const size_t round = course.rounds();
  return round > 2 && left > kHelpfulShare * before &&
         before > kHelpfulShare * course.left[round - 2];
}

enum class Side { kBetter, kWorse };

Course run_course(const WorkingSetCurve& curve, const RoundCosts& costs, const RoundLimits& limits,
                  Side side) {
  const bool better = side == Side::kBetter;
  const double per_page = better ? costs.seconds_per_page.lower : costs.seconds_per_page.upper;
  Course course;
  course.left.push_back(curve.pages());
  const auto add_round = [&] {
    course.seconds.push_back(costs.fixed_seconds + course.left.back() * per_page);
    const Bounds written = curve.within(course.seconds.back());
    course.left.push_back(better ? written.lower : written.upper);
    course.enough = course.left.back() <= limits.enough_pages;
  };
  while (course.rounds() < limits.max_rounds) {
    add_round();
    const bool may_end = limits.rule == StopRule::kMaxPause && course.enough;
    const double left = course.left.back();
    const double before = course.left[course.rounds() - 1];
    if (may_end && !is_worth_a_round(left, before, left * per_page, costs.stop_seconds)) break;
    if (!may_end && ends_by_rule(course, limits)) break;
  }
  for (uint32_t i = 0; i < limits.rounds_after && !course.enough; ++i) add_round();
  return course;
}

// What the better course would have left if it went on to that many rounds.
double left_at_best(const WorkingSetCurve& curve, const RoundCosts& costs, const Course& better,
                    size_t rounds) {
  double left = better.left.back();
  for (size_t round = better.rounds(); round < rounds; ++round)
    left = std::min(left,
                    curve.within(costs.fixed_seconds + left * costs.seconds_per_page.lower).lower);
  return left;
}

}  // namespace

bool is_worth_a_round(double left, double before, double seconds, double stop_seconds) {
  constexpr double kWorthStops = 2;
  return left < before && seconds * (1 - left / before) > kWorthStops * stop_seconds;
}

// The true course lies between the two at every round (D never falls). It ends no earlier than the
// better one and, if both come to the limit, no later than the worse one.
Rounds run_rounds(const WorkingSetCurve& curve, const RoundCosts& costs,
                  const RoundLimits& limits) {
  const Course better = run_course(curve, costs, limits, Side::kBetter);
  const Course worse = run_course(curve, costs, limits, Side::kWorse);
  const size_t first = std::min(better.rounds(), worse.rounds());
  const size_t last = std::max(better.rounds(), worse.rounds());
  Rounds rounds;
  rounds.count = {static_cast<double>(first), static_cast<double>(last)};
  rounds.seconds = {better.total_seconds(first),
                    std::max(better.total_seconds(last), worse.total_seconds(last))};
  rounds.pages_sent = {better.total_pages(first),
                       std::max(better.total_pages(last), worse.total_pages(last))};
  rounds.pages_left = {left_at_best(curve, costs, better, last), worse.left_after(first)};
  if (limits.rule == StopRule::kMaxPause && worse.enough)
    rounds.pages_left.upper = std::min(rounds.pages_left.upper, limits.enough_pages);
  rounds.pages_left.upper = std::max(rounds.pages_left.upper, rounds.pages_left.lower);
  using Converges = Rounds::Converges;
  rounds.converges = worse.enough    ? Converges::kYes
                     : better.enough ? Converges::kMaybe
                                     : Converges::kNo;
  return rounds;
}

}  // namespace martlet::models
