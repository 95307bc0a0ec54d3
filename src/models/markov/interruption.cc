#include "models/markov/interruption.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "models/markov/poisson.h"
#include "models/markov/transient.h"

namespace martlet::models {
namespace {

constexpr double kCoarse = 1e-3;      // share by which a bound may be wider to save its computation
constexpr size_t kLimit = 1500;       // states
constexpr double kForgotten = 1e-13;  // probability of more short interruptions than are counted

Result<void> check_time(double hours, std::string_view what) {
  if (hours >= 0 && std::isfinite(hours)) return {};
  return fail(Code::kInvalidArgument, fmt::format("{}: {} hours is not a time", what, hours));
}

// The chain that stops once it is up: where it then is, is where an interruption has ended.
Result<Chain> until_up(const Chain& chain) {
  std::vector<ChainState> states;
  std::vector<Rate> rates;
  for (size_t i = 0; i < chain.size(); ++i) {
    states.push_back(chain.state(i));
    if (chain.is_up(i)) continue;
    for (const Arc& arc : chain.from(i)) rates.push_back({i, arc.to, arc.rate});
  }
  return Chain::make(std::move(states), rates);
}

// Of each state that is down and entered from one that is up, or the initial one: where the chain
// is `allowed` later, if it stops once it is up.
using Endings = std::map<size_t, std::vector<double>>;

Result<Endings> endings(const Chain& chain, double allowed) {
  Endings result;
  for (size_t i = 0; i < chain.size(); ++i) {
    if (!chain.is_up(i)) continue;
    for (const Arc& arc : chain.from(i))
      if (!chain.is_up(arc.to)) result[arc.to];
  }
  if (!chain.is_up(chain.initial())) result[chain.initial()];
  const Chain down = TRY(until_up(chain));
  Evolution evolution(down, down.start(), cheaper_method(down, allowed, result.size()),
                      CumulatedTime::kNo);
  for (auto& [state, where] : result) {
    std::vector<double> start(chain.size(), 0.0);
    start[state] = 1;
    evolution.restart(std::move(start));
    TRY(evolution.advance(allowed));
    where = evolution.distribution();
  }
  return result;
}

// The states that are up, in which short interruptions take no time, and one more in which it ends
// when an interruption begins that will be too long.
struct WithoutShortOnes {
  Chain chain;
  std::vector<double> start;
  double short_rate = 0;  // the largest rate at which short ones begin
  double long_rate = 0;   // and too long ones
};

class Shortener {
 public:
  Shortener(const Chain& chain, const Endings& endings)
      : chain_(chain), endings_(endings), position_(chain.size()) {
    for (size_t i = 0; i < chain.size(); ++i) {
      if (!chain.is_up(i)) continue;
      position_[i] = up_.size();
      up_.push_back(i);
    }
  }

  Result<WithoutShortOnes> run() const {
    std::vector<ChainState> states;
    for (const size_t i : up_) states.push_back(chain_.state(i));
    states.push_back({.name = "interrupted", .service = Service::kDown, .reward = 0});
    std::vector<Rate> rates;
    double short_rate = 0;
    for (const size_t i : up_) short_rate = std::max(short_rate, add_rates(i, rates));
    WithoutShortOnes result{TRY(Chain::make(std::move(states), rates)), {}, short_rate};
    for (size_t i = 0; i < up_.size(); ++i)
      for (const Arc& arc : result.chain.from(i))
        if (arc.to == up_.size()) result.long_rate = std::max(result.long_rate, arc.rate);
    result.start.assign(up_.size() + 1, 0.0);
    add_start(result.start);
    return result;
  }

 private:
  double ending_in(size_t down, size_t up) const { return endings_.at(down)[up]; }
  double too_long(size_t down) const {
    double sum = 0;
    for (size_t i = 0; i < chain_.size(); ++i)
      if (!chain_.is_up(i)) sum += ending_in(down, i);
    return sum;
  }

  // Returns the rate at which short interruptions begin in state i.
  double add_rates(size_t i, std::vector<Rate>& rates) const {
    double short_rate = 0;
    for (const Arc& arc : chain_.from(i)) {
      if (chain_.is_up(arc.to)) {
        rates.push_back({position_[i], position_[arc.to], arc.rate});
        continue;
      }
      rates.push_back({position_[i], up_.size(), arc.rate * too_long(arc.to)});
      for (const size_t up : up_) {
        const double rate = arc.rate * ending_in(arc.to, up);
        short_rate += rate;
        if (up != i) rates.push_back({position_[i], position_[up], rate});
      }
    }
    return short_rate;
  }

  void add_start(std::vector<double>& start) const {
    const size_t initial = chain_.initial();
    if (chain_.is_up(initial)) {
      start[position_[initial]] = 1;
      return;
    }
    for (const size_t up : up_) start[position_[up]] = ending_in(initial, up);
    start.back() = too_long(initial);
  }

  const Chain& chain_;
  const Endings& endings_;
  std::vector<size_t> position_;  // of each state that is up
  std::vector<size_t> up_;
};

Result<double> not_in_last(const Chain& chain, std::vector<double> start, double hours) {
  Evolution evolution(chain, std::move(start), TransientMethod::kCheaper, CumulatedTime::kNo);
  TRY(evolution.advance(hours));
  double sum = 0;
  for (size_t i = 0; i + 1 < chain.size(); ++i) sum += evolution.distribution()[i];
  return std::min(sum, 1.0);
}

}  // namespace

Result<Bounds> no_interruption(const Chain& chain, double allowed, double mission) {
  TRY(check_time(allowed, "the allowed interruption"));
  TRY(check_time(mission, "the mission"));
  if (chain.size() > kLimit)
    return std::unexpected(
        Error(Code::kUnsupported,
              fmt::format("no interruption: the chain has {} states, {} are the limit",
                          chain.size(), kLimit))
            .with_remedy("merge states that are alike"));
  if (mission < allowed) return Bounds::exactly(1);
  const Endings ends = TRY(endings(chain, allowed));
  const WithoutShortOnes shortened = TRY(Shortener(chain, ends).run());
  const double time = mission - allowed;
  const double lower = TRY(not_in_last(shortened.chain, shortened.start, time));
  if (allowed == 0) return Bounds::exactly(lower);
  const size_t most = poisson_quantile(shortened.short_rate * time, kForgotten) + 1;
  const double delay = std::min(time, allowed * static_cast<double>(most));
  // Who has come to the end of the delayed mission came through the delay at this rate at most.
  double upper = lower * std::exp(shortened.long_rate * delay);
  if (shortened.long_rate * delay > kCoarse)
    upper = TRY(not_in_last(shortened.chain, shortened.start, time - delay));
  return Bounds{lower, std::clamp(upper + kForgotten, lower, 1.0)};
}

PhaseType PhaseType::erlang(size_t phases, double mean) {
  const double rate = static_cast<double>(phases) / mean;
  PhaseType result{.start = std::vector<double>(phases, 0.0),
                   .rates = {},
                   .end = std::vector<double>(phases, 0.0)};
  result.start.front() = 1;
  result.end.back() = rate;
  for (size_t i = 0; i + 1 < phases; ++i) result.rates.push_back({i, i + 1, rate});
  return result;
}

Result<Chain> with_phase_limit(const Chain& chain, const PhaseType& limit) {
  const size_t phases = limit.start.size();
  if (phases == 0 || limit.end.size() != phases)
    return fail(Code::kInvalidArgument, "a phase-type time needs a start and an end of each phase");
  std::vector<size_t> first(chain.size());  // of the states that stand for each of the chain's
  std::vector<ChainState> states;
  for (size_t i = 0; i < chain.size(); ++i) {
    first[i] = states.size();
    for (size_t phase = 0; phase < (chain.is_up(i) ? 1 : phases); ++phase) {
      states.push_back(chain.state(i));
      if (!chain.is_up(i)) states.back().name += fmt::format(", phase {}", phase + 1);
    }
  }
  const size_t interrupted = states.size();
  states.push_back({.name = "interrupted", .service = Service::kDown, .reward = 0});
  std::vector<Rate> rates;
  for (size_t i = 0; i < chain.size(); ++i) {
    const bool up = chain.is_up(i);
    for (const Arc& arc : chain.from(i))
      for (size_t phase = 0; phase < phases; ++phase) {
        const double enters = up ? arc.rate * limit.start[phase] : arc.rate;
        if (chain.is_up(arc.to) && up) {
          rates.push_back({first[i], first[arc.to], arc.rate});
          break;
        }
        rates.push_back({first[i] + (up ? 0 : phase),
                         first[arc.to] + (chain.is_up(arc.to) ? 0 : phase), enters});
      }
    if (up) continue;
    for (const Rate& rate : limit.rates)
      rates.push_back({first[i] + rate.from, first[i] + rate.to, rate.per_hour});
    for (size_t phase = 0; phase < phases; ++phase)
      rates.push_back({first[i] + phase, interrupted, limit.end[phase]});
  }
  return Chain::make(std::move(states), rates, first[chain.initial()]);
}

Result<double> no_interruption(const Chain& chain, const PhaseType& limit, double mission) {
  TRY(check_time(mission, "the mission"));
  const Chain limited = TRY(with_phase_limit(chain, limit));
  std::vector<double> start(limited.size(), 0.0);
  if (chain.is_up(chain.initial()))
    start[limited.initial()] = 1;
  else
    for (size_t phase = 0; phase < limit.start.size(); ++phase)
      start[limited.initial() + phase] = limit.start[phase];
  return not_in_last(limited, std::move(start), mission);
}

}  // namespace martlet::models
