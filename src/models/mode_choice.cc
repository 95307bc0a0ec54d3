#include "models/mode_choice.h"

#include <fmt/format.h>

#include <algorithm>

namespace martlet::models {
namespace {

std::string readable(double seconds) {
  return seconds < 1 ? fmt::format("{:.3g} ms", seconds * 1000) : fmt::format("{:.3g} s", seconds);
}

int preference(MoveMode mode) {
  switch (mode) {
    case MoveMode::kStop: return 0;
    case MoveMode::kPrecopy: return 1;
    case MoveMode::kHybrid: return 2;
    case MoveMode::kPostcopy: return 3;
  }
  return 4;
}

bool can_lose_the_container(MoveMode mode) {
  return mode == MoveMode::kPostcopy || mode == MoveMode::kHybrid;
}

// Why the prediction is not within the limits; empty if it is.
std::string objection(const Prediction& prediction, const MoveLimits& limits) {
  const bool converges = prediction.converges != Rounds::Converges::kNo;
  if (prediction.pause.upper > limits.max_pause)
    return (converges ? "its pause may be "
                      : "its rounds do not converge, a forced stop may take ") +
           readable(prediction.pause.upper);
  if (limits.max_time > 0 && prediction.total.upper > limits.max_time)
    return fmt::format("it may take {}", readable(prediction.total.upper));
  return "";
}

std::string explain(const Prediction& chosen, const std::string& passed_over) {
  const std::string safety = can_lose_the_container(chosen.mode)
                                 ? "though either host must not fail until its last page arrived"
                                 : "and the container is complete on one host at every moment";
  return fmt::format("{}: its pause is at most {} and it takes at most {}, {}{}",
                     mode_name(chosen.mode), readable(chosen.pause.upper),
                     readable(chosen.total.upper), safety, passed_over);
}

std::string what_would_fit(const std::vector<const Prediction*>& candidates,
                           const MoveLimits& limits) {
  const auto shortest = std::ranges::min_element(
      candidates, {}, [](const Prediction* prediction) { return prediction->pause.upper; });
  const Prediction& best = **shortest;
  std::string text =
      fmt::format("{} fits with --max-pause {}", mode_name(best.mode), readable(best.pause.upper));
  if (limits.max_time > 0 && best.total.upper > limits.max_time)
    text += fmt::format(" and --max-time {}", readable(best.total.upper));
  return text;
}

// In the order of preference.
std::vector<const Prediction*> candidates_of(const std::vector<Prediction>& predictions,
                                             const MoveLimits& limits) {
  std::vector<const Prediction*> candidates;
  for (const Prediction& prediction : predictions)
    if (limits.binding || !can_lose_the_container(prediction.mode))
      candidates.push_back(&prediction);
  std::ranges::sort(candidates, {},
                    [](const Prediction* prediction) { return preference(prediction->mode); });
  return candidates;
}

}  // namespace

Result<ModeChoice> choose_mode(const std::vector<Prediction>& predictions,
                               const MoveLimits& limits) {
  const auto candidates = candidates_of(predictions, limits);
  if (candidates.empty()) return fail(Code::kInvalidArgument, "there is no mode to choose from");
  std::string objections;
  for (const Prediction* prediction : candidates) {
    const std::string why_not = objection(*prediction, limits);
    if (why_not.empty()) return ModeChoice{*prediction, explain(*prediction, objections)};
    objections += fmt::format("; not {}: {}", mode_name(prediction->mode), why_not);
  }
  if (!limits.binding)  // the last one is the one that adapts itself to what it meets
    return ModeChoice{
        *candidates.back(),
        fmt::format("{} comes nearest{}", mode_name(candidates.back()->mode), objections)};
  return std::unexpected(Error(Code::kUnsupported, "no mode fits the limits" + objections)
                             .with_remedy(what_would_fit(candidates, limits)));
}

}  // namespace martlet::models
