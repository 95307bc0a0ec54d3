#include "models/markov/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace martlet::models {
namespace {

Result<void> check_rate(const std::vector<ChainState>& states, const Rate& rate) {
  CHECK(rate.from < states.size() && rate.to < states.size());
  const auto named = [&](std::string_view what) {
    return Error(Code::kInvalidArgument,
                 fmt::format("the rate from '{}' to '{}' {}", states[rate.from].name,
                             states[rate.to].name, what));
  };
  if (!std::isfinite(rate.per_hour))
    return std::unexpected(named(fmt::format("is {}, not a finite number", rate.per_hour))
                               .with_remedy("look for a division by zero or an overflow in it"));
  if (rate.per_hour < 0)
    return std::unexpected(named(fmt::format("is negative: {} per hour", rate.per_hour))
                               .with_remedy("rates are 0 or more; check its parameters"));
  if (rate.from == rate.to)
    return std::unexpected(named("leads nowhere").with_remedy("leave it out"));
  return {};
}

// Tarjan's algorithm without recursion, so that a chain of any length fits the stack.
class ClassFinder {
 public:
  explicit ClassFinder(const Chain& chain)
      : chain_(chain), index_(chain.size(), kNone), low_(chain.size()), on_stack_(chain.size()) {
    classes_.of_state.assign(chain.size(), kNone);
  }

  Classes run() {
    for (size_t state = 0; state < chain_.size(); ++state)
      if (index_[state] == kNone) search(state);
    for (size_t state = 0; state < chain_.size(); ++state)
      for (const Arc& arc : chain_.from(state))
        if (classes_.of_state[arc.to] != classes_.of_state[state])
          classes_.closed[classes_.of_state[state]] = false;
    return std::move(classes_);
  }

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);
  struct Visit {
    size_t state;
    size_t next_arc;
  };

  void enter(size_t state) {
    index_[state] = low_[state] = count_++;
    stack_.push_back(state);
    on_stack_[state] = true;
    visits_.push_back({state, 0});
  }

  void search(size_t root) {
    enter(root);
    while (!visits_.empty()) {
      Visit& visit = visits_.back();
      const auto arcs = chain_.from(visit.state);
      if (visit.next_arc == arcs.size()) {
        leave(visit.state);
        continue;
      }
      const size_t to = arcs[visit.next_arc++].to;
      if (index_[to] == kNone)
        enter(to);
      else if (on_stack_[to])
        low_[visit.state] = std::min(low_[visit.state], index_[to]);
    }
  }

  void leave(size_t state) {
    visits_.pop_back();
    if (!visits_.empty()) {
      const size_t parent = visits_.back().state;
      low_[parent] = std::min(low_[parent], low_[state]);
    }
    if (low_[state] != index_[state]) return;
    size_t member = kNone;
    do {
      member = stack_.back();
      stack_.pop_back();
      on_stack_[member] = false;
      classes_.of_state[member] = classes_.closed.size();
    } while (member != state);
    classes_.closed.push_back(true);
  }

  const Chain& chain_;
  std::vector<size_t> index_;
  std::vector<size_t> low_;
  std::vector<bool> on_stack_;
  std::vector<size_t> stack_;
  std::vector<Visit> visits_;
  size_t count_ = 0;
  Classes classes_;
};

}  // namespace

Result<Chain> Chain::make(std::vector<ChainState> states, const std::vector<Rate>& rates,
                          size_t initial) {
  if (states.empty()) return fail(Code::kInvalidArgument, "the chain has no states");
  CHECK(initial < states.size());
  for (const Rate& rate : rates) TRY(check_rate(states, rate));
  std::vector<Rate> sorted;
  std::ranges::copy_if(rates, std::back_inserter(sorted),
                       [](const Rate& rate) { return rate.per_hour > 0; });
  std::ranges::stable_sort(sorted, [](const Rate& a, const Rate& b) {
    return std::tie(a.from, a.to) < std::tie(b.from, b.to);
  });
  Chain chain;
  chain.states_ = std::move(states);
  chain.initial_ = initial;
  chain.begin_.assign(chain.size() + 1, 0);
  chain.exit_rates_.assign(chain.size(), 0);
  size_t last = static_cast<size_t>(-1);  // the row of the last arc
  for (const Rate& rate : sorted) {
    if (last == rate.from && chain.arcs_.back().to == rate.to)
      chain.arcs_.back().rate += rate.per_hour;
    else
      chain.arcs_.push_back({rate.to, rate.per_hour});
    last = rate.from;
    chain.begin_[rate.from + 1] = chain.arcs_.size();
    chain.exit_rates_[rate.from] += rate.per_hour;
  }
  for (size_t i = 0; i < chain.size(); ++i)
    chain.begin_[i + 1] = std::max(chain.begin_[i + 1], chain.begin_[i]);
  return chain;
}

double Chain::max_exit_rate() const {
  return std::ranges::max(exit_rates_);
}

std::vector<double> Chain::start() const {
  std::vector<double> start(size(), 0.0);
  start[initial_] = 1;
  return start;
}

std::vector<double> Chain::rewards() const {
  std::vector<double> rewards;
  for (const ChainState& state : states_) rewards.push_back(state.reward);
  return rewards;
}

std::vector<double> Chain::up_indicator() const {
  std::vector<double> up;
  for (const ChainState& state : states_) up.push_back(state.service == Service::kUp ? 1 : 0);
  return up;
}

Classes communicating_classes(const Chain& chain) {
  return ClassFinder(chain).run();
}

Result<std::vector<size_t>> closed_class(const Chain& chain) {
  const Classes classes = communicating_classes(chain);
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t first = kNone;
  std::vector<size_t> members;
  for (size_t state = 0; state < chain.size(); ++state) {
    const size_t its_class = classes.of_state[state];
    if (!classes.closed[its_class]) continue;
    if (first == kNone) first = state;
    if (its_class == classes.of_state[first]) {
      members.push_back(state);
      continue;
    }
    return std::unexpected(
        Error(Code::kInvalidArgument,
              fmt::format("the chain has two closed classes, that of '{}' and that of '{}'",
                          chain.state(first).name, chain.state(state).name))
            .with_remedy("add the transition that leads out of one of them"));
  }
  return members;
}

std::vector<bool> reachable_states(const Chain& chain) {
  std::vector<bool> reached(chain.size(), false);
  std::vector<size_t> todo{chain.initial()};
  reached[chain.initial()] = true;
  while (!todo.empty()) {
    const size_t state = todo.back();
    todo.pop_back();
    for (const Arc& arc : chain.from(state)) {
      if (reached[arc.to]) continue;
      reached[arc.to] = true;
      todo.push_back(arc.to);
    }
  }
  return reached;
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  double lost = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double term = a[i] * b[i];
    const double next = sum + term;
    lost += std::abs(sum) >= std::abs(term) ? (sum - next) + term : (term - next) + sum;
    sum = next;
  }
  return sum + lost;
}

}  // namespace martlet::models
