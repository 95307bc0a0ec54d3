// Builds a chain from rules: what can happen in a state, and which state follows.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/check.h"
#include "models/markov/chain_model.h"

namespace martlet::models {

template <typename State>
struct Step {
  std::string rate;  // an expression
  std::string label;
  State next;
};

// Breadth first from `initial`. `Rules` has steps(state), name(state), service(state) and
// reward(state), an expression. Steps between the same states become one transition with the sum of
// their rates.
template <typename State, typename Rules>
void explore(const Rules& rules, const State& initial, ChainDescription& chain) {
  std::map<State, std::string> known;
  std::deque<State> todo;
  const auto visit = [&](const State& state) {
    const auto [place, added] = known.emplace(state, rules.name(state));
    if (added) {
      chain.states.push_back(
          {.name = place->second, .service = rules.service(state), .reward = rules.reward(state)});
      todo.push_back(state);
    }
    return place->second;
  };
  visit(initial);
  while (!todo.empty()) {
    const State state = todo.front();
    todo.pop_front();
    const std::string& from = known.at(state);
    struct Joined {
      std::string rate;
      std::string label;
    };
    std::map<std::string, Joined> joined;
    std::vector<std::string> order;
    for (const Step<State>& step : rules.steps(state)) {
      const std::string to = visit(step.next);
      if (to == from) continue;
      const auto [place, added] = joined.emplace(to, Joined{step.rate, step.label});
      if (added)
        order.push_back(to);
      else
        place->second = {place->second.rate + " + " + step.rate,
                         place->second.label + ", " + step.label};
    }
    for (const std::string& to : order) {
      auto rate = Expression::parse(joined[to].rate);
      CHECK(rate);
      chain.transitions.push_back({from, to, std::move(*rate), joined[to].label});
    }
  }
}

}  // namespace martlet::models
