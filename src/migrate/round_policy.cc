#include "migrate/round_policy.h"

#include <fmt/format.h>

#include "models/precopy.h"

namespace martlet::migrate {
namespace {

// What a pause takes besides memory: the capture of everything else, the restore, the commit.
constexpr double kFixedPauseSeconds = 0.008;

// Two rounds in a row without progress: one may be a burst.
bool does_not_converge(const std::vector<RoundReport>& rounds) {
  if (rounds.size() < 3) return false;
  auto helped = [&](size_t i) {
    return static_cast<double>(rounds[i].left_bytes) <
           models::kHelpfulShare * static_cast<double>(rounds[i - 1].left_bytes);
  };
  return !helped(rounds.size() - 1) && !helped(rounds.size() - 2);
}

Decision give_up(const Options& options, const RoundContext& context, const std::string& why) {
  if (options.mode == Mode::kHybrid) return {NextStep::kPostcopy, why};
  switch (options.on_no_convergence) {
    case OnNoConvergence::kPostcopy: return {NextStep::kPostcopy, why};
    case OnNoConvergence::kCancel: return {NextStep::kCancel, why};
    case OnNoConvergence::kStop: return {NextStep::kFreeze, why};
    case OnNoConvergence::kThrottle: break;
  }
  if (context.throttle_percent > kLowestThrottlePercent) return {NextStep::kThrottle, why};
  return {NextStep::kFreeze, why + " although the container is slowed down"};
}

Decision decide_by_criterion_1(const std::vector<RoundReport>& rounds,
                               const RoundContext& context) {
  const RoundReport& last = rounds.back();
  if (last.left_bytes == 0) return {NextStep::kFreeze, "nothing is left"};
  if (rounds.size() > 1 && last.left_bytes > rounds[rounds.size() - 2].left_bytes)
    return {NextStep::kFreeze, "more is left than after the round before"};
  if (last.number < 64 && last.left_bytes > context.memory_bytes >> last.number)
    return {NextStep::kFreeze, "more is left than a halving by each round allows"};
  return {NextStep::kAnotherRound, ""};
}

}  // namespace

bool is_worth_a_round(const RoundReport& last, uint64_t left_bytes) {
  if (last.link_rate <= 0) return false;
  auto left = static_cast<double>(left_bytes);
  return models::is_worth_a_round(left, static_cast<double>(last.changed_bytes),
                                  left / last.link_rate, last.stopped_seconds);
}

double expected_pause_seconds(uint64_t bytes_left, double link_rate, double stopped_seconds) {
  double transfer = link_rate > 0 ? static_cast<double>(bytes_left) / link_rate : 0;
  return kFixedPauseSeconds + stopped_seconds + transfer;
}

Decision decide(const std::vector<RoundReport>& rounds, const Options& options,
                const RoundContext& context) {
  if (options.stop_rule == StopRule::kCriterion1) return decide_by_criterion_1(rounds, context);
  const RoundReport& last = rounds.back();
  // No further round makes the comparison shorter.
  if (last.expected_pause_seconds - last.compare_seconds <= in_seconds(context.max_pause)) {
    if (last.number < options.max_rounds && is_worth_a_round(last, last.left_bytes))
      return {NextStep::kAnotherRound, "a further round makes the pause shorter"};
    return {NextStep::kFreeze, "the expected pause is within its limit"};
  }
  if (options.mode == Mode::kHybrid && last.number >= options.max_rounds)
    return {NextStep::kPostcopy, "the rounds are done"};
  if (last.number >= options.max_rounds)
    return give_up(options, context, fmt::format("{} rounds are not enough", last.number));
  if (options.max_time.count() > 0 && context.elapsed > options.max_time)
    return give_up(options, context, "the time for the move is over");
  if (does_not_converge(rounds))
    return give_up(options, context, "memory changes as fast as it is sent");
  return {NextStep::kAnotherRound, ""};
}

}  // namespace martlet::migrate
