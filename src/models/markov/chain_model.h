// A chain whose rates are expressions over named parameters, checked once and then evaluated for as
// many sets of values as wanted.
//
// A ChainDescription is what a file or a template says; ChainModel::make checks it: every name is
// known, parameters do not depend on themselves, every state can be reached from the initial one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/markov/chain.h"
#include "models/markov/expression.h"

namespace martlet::models {

struct ParameterDescription {
  std::string name;
  Expression value;  // may use other parameters
  std::string meaning;
};

struct StateDescription {
  std::string name;
  Service service = Service::kUp;
  std::optional<Expression> reward{};  // per hour; none: 1 where the service is up, else 0
};

struct TransitionDescription {
  std::string from;
  std::string to;
  Expression rate;  // per hour
  std::string label;
};

struct ChainDescription {
  std::string title;
  std::vector<ParameterDescription> parameters;
  std::vector<StateDescription> states;
  std::vector<TransitionDescription> transitions;
  std::string initial;  // empty: the first state
};

// Values that replace those of the description.
using ParameterValues = std::map<std::string, double>;

class ChainModel {
 public:
  static Result<ChainModel> make(ChainDescription description);

  const ChainDescription& description() const { return description_; }

  // The chain with these values; a name that the model does not have is an error, as is a negative
  // rate.
  Result<Chain> at(const ParameterValues& values = {}) const;
  // The value of each parameter, in the order of the description.
  Result<std::vector<double>> parameters(const ParameterValues& values = {}) const;

  // The derivatives of all rates and rewards by one parameter, at these values.
  struct Slopes {
    std::vector<Rate> rates;      // those that are not zero
    std::vector<double> rewards;  // of every state
  };
  Result<Slopes> slopes(const std::string& parameter, const ParameterValues& values = {}) const;

 private:
  // An expression with the positions of its names among the parameters.
  struct Bound {
    Expression expression;
    std::vector<size_t> arguments;
    Dual evaluate(const std::vector<Dual>& parameters) const;
  };
  struct Transition {
    size_t from;
    size_t to;
    Bound rate;
  };

  ChainModel() = default;
  Result<Bound> bind(const Expression& expression, const std::string& where) const;
  Result<void> bind_parameters();
  Result<void> bind_states();
  Result<void> bind_transitions();
  Result<void> check_reachable() const;
  Result<size_t> state_index(const std::string& name, const std::string& where) const;
  Result<std::vector<Dual>> evaluate_parameters(const ParameterValues& values,
                                                const std::string& derived_by) const;

  ChainDescription description_;
  std::map<std::string, size_t> parameter_index_;
  std::map<std::string, size_t> state_index_;
  std::vector<Bound> parameters_;
  std::vector<size_t> order_;  // of parameters, each after those that it uses
  std::vector<Bound> rewards_;
  std::vector<Transition> transitions_;
  size_t initial_ = 0;
};

}  // namespace martlet::models
