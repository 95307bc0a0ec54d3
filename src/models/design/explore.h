// Builds a chain from rules: what can happen in a state, and which state follows.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "models/markov/chain_model.h"

namespace martlet::models {

template <typename State>
struct Step {
  std::string rate;  // an expression, a product
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
      std::vector<std::pair<std::string, int>> rates;  // each once, and how often
      std::string label;
      void add(const std::string& rate) {
        const auto same = std::ranges::find(rates, rate, &std::pair<std::string, int>::first);
        if (same != rates.end())
          same->second++;
        else
          rates.emplace_back(rate, 1);
      }
      std::string sum() const {
        std::string text;
        for (const auto& [rate, times] : rates) {
          if (!text.empty()) text += " + ";
          if (times > 1) text += std::to_string(times) + "*";
          text += rate;
        }
        return text;
      }
    };
    std::map<std::string, Joined> joined;
    std::vector<std::string> order;
    for (const Step<State>& step : rules.steps(state)) {
      const std::string to = visit(step.next);
      if (to == from) continue;
      const auto [place, added] = joined.emplace(to, Joined{{}, step.label});
      place->second.add(step.rate);
      if (added)
        order.push_back(to);
      else
        place->second.label += ", " + step.label;
    }
    for (const std::string& to : order) {
      auto rate = Expression::parse(joined[to].sum());
      CHECK(rate);
      chain.transitions.push_back({from, to, std::move(*rate), joined[to].label});
    }
  }
}

}  // namespace martlet::models
