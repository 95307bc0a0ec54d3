#include "models/markov/chain_model.h"

#include <fmt/format.h>

#include <algorithm>

namespace martlet::models {
namespace {

std::unexpected<Error> refuse(std::string cause, std::string remedy) {
  return std::unexpected(
      Error(Code::kInvalidArgument, std::move(cause)).with_remedy(std::move(remedy)));
}

// Orders parameters so that each comes after those that it uses.
class DependencyOrder {
 public:
  DependencyOrder(const std::vector<ParameterDescription>& parameters,
                  const std::vector<std::vector<size_t>>& uses)
      : parameters_(parameters), uses_(uses), marks_(uses.size(), Mark::kNew) {}

  Result<std::vector<size_t>> run() {
    for (size_t i = 0; i < uses_.size(); ++i) TRY(visit(i));
    return std::move(order_);
  }

 private:
  enum class Mark { kNew, kOpen, kDone };
  struct Visit {
    size_t parameter;
    size_t next;
  };

  Result<void> open(size_t parameter) {
    if (marks_[parameter] == Mark::kDone) return {};
    if (marks_[parameter] == Mark::kOpen)
      return refuse(fmt::format("parameter '{}' depends on itself", parameters_[parameter].name),
                    "give one of the parameters that its expression uses a number");
    marks_[parameter] = Mark::kOpen;
    visits_.push_back({parameter, 0});
    return {};
  }

  Result<void> visit(size_t root) {
    TRY(open(root));
    while (!visits_.empty()) {
      Visit& top = visits_.back();
      const std::vector<size_t>& uses = uses_[top.parameter];
      if (top.next < uses.size()) {
        TRY(open(uses[top.next++]));
        continue;
      }
      marks_[top.parameter] = Mark::kDone;
      order_.push_back(top.parameter);
      visits_.pop_back();
    }
    return {};
  }

  const std::vector<ParameterDescription>& parameters_;
  const std::vector<std::vector<size_t>>& uses_;
  std::vector<Mark> marks_;
  std::vector<Visit> visits_;
  std::vector<size_t> order_;
};

}  // namespace

Result<ChainModel> ChainModel::make(ChainDescription description) {
  ChainModel model;
  model.description_ = std::move(description);
  TRY(model.bind_parameters());
  TRY(model.bind_states());
  TRY(model.bind_transitions());
  TRY(model.check_reachable());
  return model;
}

Dual ChainModel::Bound::evaluate(const std::vector<Dual>& parameters) const {
  std::vector<Dual> values;
  values.reserve(arguments.size());
  for (const size_t argument : arguments) values.push_back(parameters[argument]);
  return expression.evaluate(values);
}

Result<ChainModel::Bound> ChainModel::bind(const Expression& expression,
                                           const std::string& where) const {
  Bound bound{expression, {}};
  for (const std::string& name : expression.names()) {
    const auto known = parameter_index_.find(name);
    if (known == parameter_index_.end())
      return refuse(
          fmt::format("{}: unknown parameter '{}' in '{}'", where, name, expression.text()),
          "define it among the parameters, or correct its name");
    bound.arguments.push_back(known->second);
  }
  return bound;
}

Result<void> ChainModel::bind_parameters() {
  for (size_t i = 0; i < description_.parameters.size(); ++i) {
    const std::string& name = description_.parameters[i].name;
    if (!is_parameter_name(name))
      return refuse(fmt::format("'{}' cannot be the name of a parameter", name),
                    "use letters, digits and '_', a letter first");
    if (!parameter_index_.emplace(name, i).second)
      return refuse(fmt::format("parameter '{}' is defined twice", name), "remove one of them");
  }
  std::vector<std::vector<size_t>> uses;
  for (const ParameterDescription& parameter : description_.parameters) {
    parameters_.push_back(
        TRY(bind(parameter.value, fmt::format("parameter '{}'", parameter.name))));
    uses.push_back(parameters_.back().arguments);
  }
  order_ = TRY(DependencyOrder(description_.parameters, uses).run());
  return {};
}

Result<void> ChainModel::bind_states() {
  if (description_.states.empty())
    return refuse("the chain has no states", "list at least one state");
  for (size_t i = 0; i < description_.states.size(); ++i) {
    const StateDescription& state = description_.states[i];
    const std::string where = fmt::format("state '{}'", state.name);
    if (state.name.empty()) return refuse("a state has no name", "name it");
    if (!state_index_.emplace(state.name, i).second)
      return refuse(where + " is listed twice", "give each state a name of its own");
    const Expression usual(state.service == Service::kUp ? 1 : 0);
    rewards_.push_back(TRY(bind(state.reward.value_or(usual), where)));
  }
  if (!description_.initial.empty())
    initial_ = TRY(state_index(description_.initial, "the initial state"));
  return {};
}

Result<size_t> ChainModel::state_index(const std::string& name, const std::string& where) const {
  const auto known = state_index_.find(name);
  if (known == state_index_.end())
    return refuse(fmt::format("{}: there is no state '{}'", where, name),
                  "list it among the states, or correct its name");
  return known->second;
}

Result<void> ChainModel::bind_transitions() {
  for (const TransitionDescription& transition : description_.transitions) {
    const std::string where =
        fmt::format("transition from '{}' to '{}'", transition.from, transition.to);
    transitions_.push_back({TRY(state_index(transition.from, where)),
                            TRY(state_index(transition.to, where)),
                            TRY(bind(transition.rate, where))});
  }
  return {};
}

// By the transitions as they are written, whatever their rates are.
Result<void> ChainModel::check_reachable() const {
  std::vector<Rate> rates;
  for (const Transition& transition : transitions_)
    if (transition.from != transition.to) rates.push_back({transition.from, transition.to, 1});
  const Chain graph =
      TRY(Chain::make(std::vector<ChainState>(description_.states.size()), rates, initial_));
  const std::vector<bool> reached = reachable_states(graph);
  const auto lost = std::ranges::find(reached, false);
  if (lost == reached.end()) return {};
  const auto& states = description_.states;
  return refuse(
      fmt::format("state '{}' cannot be reached from the initial state '{}'",
                  states[static_cast<size_t>(lost - reached.begin())].name, states[initial_].name),
      "add the transition that leads to it, or remove the state");
}

Result<std::vector<Dual>> ChainModel::evaluate_parameters(const ParameterValues& values,
                                                          const std::string& derived_by) const {
  for (const auto& [name, value] : values)
    if (!parameter_index_.contains(name))
      return refuse(fmt::format("'{}' has no parameter '{}'", description_.title, name),
                    "see its parameters with 'martlet plan solve'");
  if (!derived_by.empty() && !parameter_index_.contains(derived_by))
    return refuse(
        fmt::format("'{}' has no parameter '{}' to derive by", description_.title, derived_by),
        "see its parameters with 'martlet plan solve'");
  std::vector<Dual> result(parameters_.size());
  for (const size_t i : order_) {
    const std::string& name = description_.parameters[i].name;
    const auto given = values.find(name);
    result[i] = given != values.end() ? Dual{given->second, 0} : parameters_[i].evaluate(result);
    if (name == derived_by) result[i].slope = 1;
    if (!result[i].finite())
      return refuse(fmt::format("parameter '{}' = '{}' is not a finite number", name,
                                parameters_[i].expression.text()),
                    "look for a division by zero or an overflow in it");
  }
  return result;
}

Result<Chain> ChainModel::at(const ParameterValues& values) const {
  const std::vector<Dual> parameters = TRY(evaluate_parameters(values, ""));
  std::vector<ChainState> states;
  for (size_t i = 0; i < rewards_.size(); ++i) {
    const StateDescription& state = description_.states[i];
    states.push_back({state.name, state.service, rewards_[i].evaluate(parameters).value});
    if (!std::isfinite(states.back().reward))
      return refuse(fmt::format("the reward '{}' of state '{}' is not a finite number",
                                rewards_[i].expression.text(), state.name),
                    "look for a division by zero or an overflow in it");
  }
  std::vector<Rate> rates;
  for (const Transition& transition : transitions_)
    rates.push_back({transition.from, transition.to, transition.rate.evaluate(parameters).value});
  return Chain::make(std::move(states), rates, initial_);
}

Result<std::vector<double>> ChainModel::parameters(const ParameterValues& values) const {
  std::vector<double> result;
  for (const Dual& parameter : TRY(evaluate_parameters(values, "")))
    result.push_back(parameter.value);
  return result;
}

Result<ChainModel::Slopes> ChainModel::slopes(const std::string& parameter,
                                              const ParameterValues& values) const {
  const std::vector<Dual> parameters = TRY(evaluate_parameters(values, parameter));
  Slopes slopes;
  for (const Transition& transition : transitions_) {
    const double slope = transition.rate.evaluate(parameters).slope;
    if (!std::isfinite(slope))
      return refuse(fmt::format("the rate '{}' has no derivative by '{}' here",
                                transition.rate.expression.text(), parameter),
                    "choose another value of the parameter");
    if (slope != 0) slopes.rates.push_back({transition.from, transition.to, slope});
  }
  for (const Bound& reward : rewards_) slopes.rewards.push_back(reward.evaluate(parameters).slope);
  return slopes;
}

}  // namespace martlet::models
