#include "models/design/evacuation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace martlet::models {
namespace {

constexpr size_t kSlots = 4000;  // of the time until the deadline
constexpr size_t kMostServices = 2000;

// Until the destination has everything.
double seconds_until_safe(const Prediction& move) {
  return move.total.upper - move.at(MoveStage::kStopSource).seconds.upper -
         move.at(MoveStage::kRemoveSource).seconds.upper;
}

EvacuationMove quickest(const Evacuation& evacuation, const ServiceClass& service) {
  const double limit = evacuation.longest_pause_seconds;
  const MoveInputs inputs = planned_inputs(service, evacuation.bytes_per_second, evacuation.storage,
                                           evacuation.assumptions, limit);
  const PlannedMove chosen = plan_move(inputs, limit);
  return {.service = service.name,
          .priority = service.priority,
          .mode = chosen.mode,
          .pause_seconds = chosen.pause_seconds,
          .seconds = seconds_until_safe(predict(chosen.mode, inputs))};
}

// Which of the moves are made: the largest sum of priorities within kSlots.
std::vector<bool> choose(const std::vector<EvacuationMove>& moves, double deadline) {
  std::vector<size_t> slots;
  for (const EvacuationMove& move : moves) {
    const double share = std::ceil(move.seconds / deadline * static_cast<double>(kSlots));
    slots.push_back(share <= static_cast<double>(kSlots) ? static_cast<size_t>(share) : kSlots + 1);
  }
  std::vector<int64_t> best(kSlots + 1, 0);
  std::vector<std::vector<bool>> taken(moves.size(), std::vector<bool>(kSlots + 1, false));
  for (size_t i = 0; i < moves.size(); ++i)
    for (size_t room = kSlots + 1; room-- > slots[i];) {
      const int64_t with = best[room - slots[i]] + moves[i].priority;
      if (with <= best[room]) continue;
      best[room] = with;
      taken[i][room] = true;
    }
  std::vector<bool> chosen(moves.size(), false);
  size_t room = kSlots;
  for (size_t i = moves.size(); i-- > 0;) {
    if (!taken[i][room]) continue;
    chosen[i] = true;
    room -= slots[i];
  }
  return chosen;
}

}  // namespace

Result<EvacuationPlan> plan_evacuation(const Evacuation& evacuation, double deadline_seconds) {
  if (!(deadline_seconds > 0) || !std::isfinite(deadline_seconds))
    return fail(Code::kInvalidArgument,
                fmt::format("a deadline of {} seconds: it must be more than 0", deadline_seconds));
  std::vector<EvacuationMove> moves;
  for (const ServiceClass& service : evacuation.services) {
    if (moves.size() + static_cast<size_t>(service.count) > kMostServices)
      return std::unexpected(
          Error(Code::kUnsupported, fmt::format("more than {} services on a host", kMostServices))
              .with_remedy("merge services that are alike"));
    const EvacuationMove move = quickest(evacuation, service);
    for (int i = 1; i <= service.count; ++i) {
      moves.push_back(move);
      if (service.count > 1) moves.back().service += fmt::format(" {}", i);
    }
  }
  // Of moves of one priority the shortest are preferred, so that most are made.
  std::ranges::stable_sort(moves, [](const EvacuationMove& a, const EvacuationMove& b) {
    return a.priority != b.priority ? a.priority > b.priority : a.seconds < b.seconds;
  });
  const std::vector<bool> chosen = choose(moves, deadline_seconds);
  EvacuationPlan plan;
  double now = 0;
  for (size_t i = 0; i < moves.size(); ++i) {
    plan.seconds_for_all += moves[i].seconds;
    if (chosen[i]) moves[i].end_seconds = now += moves[i].seconds;
    (chosen[i] ? plan.moved : plan.left).push_back(std::move(moves[i]));
  }
  CHECK(now <= deadline_seconds * (1 + 1e-9));
  return plan;
}

}  // namespace martlet::models
