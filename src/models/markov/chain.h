// A continuous-time Markov chain with numbers: named states and the rates between them.
//
// Rates are per hour; so times are in hours throughout models/markov/. The generator Q has the
// rates off its diagonal, and a diagonal that makes each row sum to zero; the diagonal is never
// stored, only the sum of the rates that leave a state. A Chain does not change after it was made
// and may be read from any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace martlet::models {

// What a state means for the service.
enum class Service { kUp, kDown };

struct ChainState {
  std::string name;
  Service service = Service::kUp;
  double reward = 1;  // earned per hour in this state
};

struct Rate {
  size_t from = 0;
  size_t to = 0;
  double per_hour = 0;
};

// A row of the generator, its diagonal apart.
struct Arc {
  size_t to = 0;
  double rate = 0;
};

class Chain {
 public:
  // Rates between the same two states add up, zero rates are dropped. A rate that is negative or
  // not finite, and one from a state to itself, is an error that names the states.
  static Result<Chain> make(std::vector<ChainState> states, const std::vector<Rate>& rates,
                            size_t initial = 0);

  size_t size() const { return states_.size(); }
  size_t arcs() const { return arcs_.size(); }
  const ChainState& state(size_t index) const { return states_[index]; }
  bool is_up(size_t index) const { return states_[index].service == Service::kUp; }
  std::span<const Arc> from(size_t index) const {
    return {arcs_.data() + begin_[index], arcs_.data() + begin_[index + 1]};
  }
  // The sum of the rates that leave the state: -q_ii.
  double exit_rate(size_t index) const { return exit_rates_[index]; }
  // The largest of them.
  double max_exit_rate() const;

  size_t initial() const { return initial_; }
  // All probability on the initial state.
  std::vector<double> start() const;
  // Of all states, the reward of each, or 1 where the service is up and 0 where it is down.
  std::vector<double> rewards() const;
  std::vector<double> up_indicator() const;

 private:
  Chain() = default;

  std::vector<ChainState> states_;
  std::vector<Arc> arcs_;      // by row
  std::vector<size_t> begin_;  // of each row in arcs_, and the end
  std::vector<double> exit_rates_;
  size_t initial_ = 0;
};

// Communicating classes: states that reach each other.
struct Classes {
  std::vector<size_t> of_state;  // the class of each state
  std::vector<bool> closed;      // of each class: whether nothing leads out of it
};
Classes communicating_classes(const Chain& chain);

// The states of the one closed class. Two of them are an error that names a state of each: then the
// long run depends on where the chain begins.
Result<std::vector<size_t>> closed_class(const Chain& chain);

// Which states the chain can get to from its initial state.
std::vector<bool> reachable_states(const Chain& chain);

// Σ a_i·b_i with Neumaier's compensation.
double dot(std::span<const double> a, std::span<const double> b);

}  // namespace martlet::models
