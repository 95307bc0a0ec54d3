#include "cli/chain_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/markov/interruption.h"

namespace martlet::cli {
namespace {

Json finite(double value) {
  return std::isfinite(value) ? Json(value) : Json();
}

Result<models::Bounds> kept_up(const models::Chain& chain, const ChainQuestions& questions) {
  if (questions.phases == 0 || questions.allowed == 0)
    return models::no_interruption(chain, questions.allowed, questions.mission);
  const auto limit = models::PhaseType::erlang(questions.phases, questions.allowed);
  return models::Bounds::exactly(TRY(models::no_interruption(chain, limit, questions.mission)));
}

// The value, or nothing and a note if the chain is too large for it; other errors stay errors.
template <typename T>
Result<std::optional<T>> if_supported(Result<T> result, std::vector<std::string>& left_out) {
  if (result) return std::optional<T>(std::move(*result));
  if (result.error().code() != Code::kUnsupported) return std::unexpected(result.error());
  left_out.push_back(result.error().to_string());
  return std::nullopt;
}

std::string measures_text(const ChainReport& report, const ChainQuestions& questions) {
  const models::Availability& found = report.availability;
  std::vector<std::vector<std::string>> rows{
      {"availability K", fmt::format("{:.9f}, {:.2f} nines", found.availability(), found.nines())},
      {"down time", fmt::format("{:.3g} minutes a year", found.downtime_minutes_per_year())},
      {"interruptions",
       fmt::format("{:.3g} a year, of {} on average", found.interruptions_per_hour * 8766,
                   human_hours(found.mean_interruption))},
      {"mean time to failure",
       report.mean_time_to_failure ? human_hours(*report.mean_time_to_failure) : "-"},
      {fmt::format("none over {} in {}", human_hours(questions.allowed),
                   human_hours(questions.mission)),
       report.no_interruption
           ? fmt::format("probability {:.6f} to {:.6f}", report.no_interruption->lower,
                         report.no_interruption->upper)
           : "-"},
      {"reward", fmt::format("{:.9f} an hour", found.reward)}};
  return format_table(rows);
}

std::string points_text(const ChainReport& report) {
  std::vector<std::vector<std::string>> rows{
      {"time", "1 - K(t)", "down until then", "error below"}};
  for (const models::TransientPoint& point : report.points)
    rows.push_back({human_hours(point.hours), fmt::format("{:.6e}", point.unavailability),
                    human_hours(point.down_hours), fmt::format("{:.0e}", point.error_bound)});
  return rows.size() > 1 ? "\n" + format_table(rows, {1, 2, 3}) : "";
}

std::string sensitivities_text(const ChainReport& report) {
  if (report.sensitivities.empty()) return "";
  std::vector<std::vector<std::string>> rows{
      {"parameter", "value", "1% more changes down time by", "meaning"}};
  for (const models::Sensitivity& each : report.sensitivities) {
    const auto known =
        std::ranges::find(report.parameters, each.parameter, &models::ParameterDescription::name);
    rows.push_back({each.parameter, fmt::format("{:.4g}", each.value),
                    fmt::format("{:+.4f}%", each.elasticity), known->meaning});
  }
  return "\n" + format_table(rows, {1, 2});
}

}  // namespace

Result<ChainReport> report_on(const models::ChainModel& model, const ChainQuestions& questions) {
  const models::Chain chain = TRY(model.at(questions.values));
  ChainReport report;
  report.title = model.description().title;
  report.parameters = model.description().parameters;
  report.values = TRY(model.parameters(questions.values));
  report.stationary = TRY(models::stationary_distribution(chain));
  for (size_t i = 0; i < chain.size(); ++i) report.states.push_back(chain.state(i).name);
  report.availability = models::availability_of(chain, report.stationary);
  if (report.availability.unavailability > 0)
    report.mean_time_to_failure =
        TRY(if_supported(models::mean_time_to_failure(chain), report.left_out));
  report.points = TRY(if_supported(models::transient(chain, questions.hours), report.left_out))
                      .value_or(std::vector<models::TransientPoint>());
  report.no_interruption = TRY(if_supported(kept_up(chain, questions), report.left_out));
  if (questions.sensitivities) {
    report.sensitivities =
        TRY(if_supported(models::sensitivities(model, questions.values), report.left_out))
            .value_or(std::vector<models::Sensitivity>());
    std::ranges::stable_sort(report.sensitivities, std::greater{},
                             [](const auto& each) { return std::abs(each.elasticity); });
  }
  return report;
}

Json to_json(const ChainReport& report, const ChainQuestions& questions) {
  Json parameters;
  for (size_t i = 0; i < report.parameters.size(); ++i)
    parameters[report.parameters[i].name] = {{"value", report.values[i]},
                                             {"meaning", report.parameters[i].meaning}};
  Json states;
  for (size_t i = 0; i < report.states.size(); ++i) states[report.states[i]] = report.stationary[i];
  Json points = Json::array();
  for (const models::TransientPoint& point : report.points)
    points.push_back({{"hours", point.hours},
                      {"unavailability", point.unavailability},
                      {"reward", point.reward},
                      {"down_hours", point.down_hours},
                      {"cumulated_reward", point.cumulated_reward},
                      {"error_bound", point.error_bound}});
  Json sensitivities = Json::array();
  for (const models::Sensitivity& each : report.sensitivities)
    sensitivities.push_back({{"parameter", each.parameter},
                             {"value", each.value},
                             {"d_unavailability", each.unavailability},
                             {"d_reward", each.reward},
                             {"elasticity", each.elasticity}});
  const models::Availability& found = report.availability;
  return {{"title", report.title},
          {"parameters", parameters},
          {"availability", found.availability()},
          {"unavailability", found.unavailability},
          {"nines", finite(found.nines())},
          {"downtime_minutes_per_year", found.downtime_minutes_per_year()},
          {"interruptions_per_year", found.interruptions_per_hour * 8766},
          {"mean_interruption_hours", found.mean_interruption},
          {"mean_time_to_failure_hours",
           report.mean_time_to_failure ? Json(*report.mean_time_to_failure) : Json()},
          {"no_interruption",
           {{"allowed_hours", questions.allowed},
            {"mission_hours", questions.mission},
            {"lower", report.no_interruption ? Json(report.no_interruption->lower) : Json()},
            {"upper", report.no_interruption ? Json(report.no_interruption->upper) : Json()}}},
          {"reward_per_hour", found.reward},
          {"points", points},
          {"sensitivities", sensitivities},
          {"left_out", report.left_out},
          {"stationary", states}};
}

std::string to_text(const ChainReport& report, const ChainQuestions& questions) {
  std::string left_out;
  for (const std::string& each : report.left_out) left_out += fmt::format("\nleft out: {}\n", each);
  return fmt::format("{} ({} states)\n\n{}{}{}", report.title, report.states.size(),
                     measures_text(report, questions), points_text(report),
                     sensitivities_text(report) + left_out);
}

std::string human_hours(double hours) {
  const double seconds = hours * 3600;
  if (seconds < 120) return human_seconds(seconds);
  if (hours < 2) return fmt::format("{:.1f} min", hours * 60);
  if (hours < 48) return fmt::format("{:.1f} h", hours);
  if (hours < 2 * 8766) return fmt::format("{:.1f} days", hours / 24);
  return fmt::format("{:.4g} years", hours / 8766);
}

}  // namespace martlet::cli
