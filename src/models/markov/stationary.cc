#include "models/markov/stationary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/markov/elimination.h"
#include "models/markov/multilevel.h"

namespace martlet::models {
namespace {

constexpr size_t kDense = 500;        // states, up to which elimination is quick
constexpr size_t kDenseLimit = 3000;  // up to which it is possible

Result<void> check_dense(size_t states, std::string_view what) {
  if (states <= kDenseLimit) return {};
  return std::unexpected(
      Error(Code::kUnsupported,
            fmt::format("{} of a chain of {} states: {} are the limit", what, states, kDenseLimit))
          .with_remedy("merge states that are alike"));
}

// Values h with which a change dQ changes the mean of r by Σ π_i·dq_ij·(h_j - h_i): the solution of
// Q·h = mean - r (Poisson's equation), 0 in the most probable state.
class Potential {
 public:
  static Result<Potential> make(const Chain& chain, const std::vector<double>& stationary) {
    TRY(check_dense(chain.size(), "sensitivity"));
    const auto reference = std::ranges::max_element(stationary) - stationary.begin();
    // All others, also those that have no probability now but get some when a rate changes.
    std::vector<size_t> members;
    for (size_t i = 0; i < chain.size(); ++i)
      if (i != static_cast<size_t>(reference)) members.push_back(i);
    return Potential(chain.size(), TRY(AbsorbingSystem::make(chain, std::move(members))));
  }

  std::vector<double> of(const std::vector<double>& reward, double mean) const {
    std::vector<double> gains;
    for (const size_t state : system_.members()) gains.push_back(reward[state] - mean);
    const std::vector<double> solved = system_.solve(gains);
    std::vector<double> h(states_, 0.0);
    for (size_t i = 0; i < solved.size(); ++i) h[system_.members()[i]] = solved[i];
    return h;
  }

 private:
  Potential(size_t states, AbsorbingSystem system) : states_(states), system_(std::move(system)) {}
  size_t states_;
  AbsorbingSystem system_;
};

double change_of_mean(const std::vector<Rate>& slopes, const std::vector<double>& stationary,
                      const std::vector<double>& h) {
  double sum = 0;
  for (const Rate& slope : slopes)
    sum += stationary[slope.from] * slope.per_hour * (h[slope.to] - h[slope.from]);
  return sum;
}

}  // namespace

Result<std::vector<double>> stationary_distribution(const Chain& chain) {
  const std::vector<size_t> members = TRY(closed_class(chain));
  const std::vector<double> inner = members.size() <= kDense
                                        ? stationary_by_elimination(RateMatrix(chain, members))
                                        : TRY(stationary_by_levels(incoming_arcs(chain, members)));
  std::vector<double> result(chain.size(), 0.0);
  for (size_t i = 0; i < members.size(); ++i) result[members[i]] = inner[i];
  return result;
}

double Availability::nines() const {
  return unavailability > 0 ? -std::log10(unavailability) : std::numeric_limits<double>::infinity();
}

Availability availability_of(const Chain& chain, const std::vector<double>& stationary) {
  Availability result;
  for (size_t i = 0; i < chain.size(); ++i) {
    if (!chain.is_up(i)) {
      result.unavailability += stationary[i];
      continue;
    }
    for (const Arc& arc : chain.from(i))
      if (!chain.is_up(arc.to)) result.interruptions_per_hour += stationary[i] * arc.rate;
  }
  result.reward = dot(stationary, chain.rewards());
  if (result.interruptions_per_hour > 0)
    result.mean_interruption = result.unavailability / result.interruptions_per_hour;
  return result;
}

Result<Availability> availability(const Chain& chain) {
  return availability_of(chain, TRY(stationary_distribution(chain)));
}

Result<double> mean_time_to_failure(const Chain& chain) {
  if (!chain.is_up(chain.initial())) return 0.0;
  std::vector<size_t> up;
  size_t initial = 0;
  // Only what is reached without being down before.
  std::vector<bool> seen(chain.size(), false);
  std::vector<size_t> todo{chain.initial()};
  seen[chain.initial()] = true;
  while (!todo.empty()) {
    const size_t state = todo.back();
    todo.pop_back();
    if (state == chain.initial()) initial = up.size();
    up.push_back(state);
    for (const Arc& arc : chain.from(state)) {
      if (seen[arc.to] || !chain.is_up(arc.to)) continue;
      seen[arc.to] = true;
      todo.push_back(arc.to);
    }
  }
  TRY(check_dense(up.size(), "mean time to failure"));
  const AbsorbingSystem system =
      TRY_IN(AbsorbingSystem::make(chain, std::move(up)), "mean time to failure");
  return system.solve(std::vector<double>(system.members().size(), 1.0))[initial];
}

Result<std::vector<Sensitivity>> sensitivities(const ChainModel& model,
                                               const ParameterValues& values,
                                               std::vector<std::string> parameters) {
  const Chain chain = TRY(model.at(values));
  const std::vector<double> all_values = TRY(model.parameters(values));
  const std::vector<double> stationary = TRY(stationary_distribution(chain));
  const Availability now = availability_of(chain, stationary);
  const Potential potential = TRY(Potential::make(chain, stationary));
  std::vector<double> down = chain.up_indicator();
  for (double& value : down) value = 1 - value;
  const std::vector<double> h_down = potential.of(down, now.unavailability);
  const std::vector<double> h_reward = potential.of(chain.rewards(), now.reward);
  const auto& known = model.description().parameters;
  if (parameters.empty())
    for (const ParameterDescription& parameter : known) parameters.push_back(parameter.name);
  std::vector<Sensitivity> result;
  for (const std::string& name : parameters) {
    const ChainModel::Slopes slopes = TRY(model.slopes(name, values));
    const auto index = std::ranges::find(known, name, &ParameterDescription::name) - known.begin();
    Sensitivity one{.parameter = name, .value = all_values[static_cast<size_t>(index)]};
    one.unavailability = change_of_mean(slopes.rates, stationary, h_down);
    one.reward =
        change_of_mean(slopes.rates, stationary, h_reward) + dot(stationary, slopes.rewards);
    if (now.unavailability > 0)
      one.elasticity = one.unavailability * one.value / now.unavailability;
    result.push_back(std::move(one));
  }
  return result;
}

}  // namespace martlet::models
