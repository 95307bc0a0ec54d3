#include "cli/plan_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/chain_report.h"

namespace martlet::cli {
namespace {

using models::Candidate;
using models::Miss;
using models::Requirement;

std::string amount(const models::Plan& plan, Requirement requirement, double value) {
  if (!std::isfinite(value)) return "impossible";
  switch (requirement) {
    case Requirement::kMemory: return human_bytes(value);
    case Requirement::kNetwork: return human_bytes(value) + "/s";
    case Requirement::kBudget: return price(plan, value);
    case Requirement::kMove:
    case Requirement::kPause: return human_seconds(value);
    case Requirement::kDowntime: return fmt::format("{:.3g} minutes a year", value);
    case Requirement::kNoInterruption: return fmt::format("probability {:.4f}", value);
  }
  return "";
}

std::string move_text(const Candidate& candidate) {
  if (candidate.options.design == models::Design::kSingle) return "-";
  return fmt::format("{} {}", human_seconds(candidate.slowest_move.total_seconds),
                     models::mode_name(candidate.slowest_move.mode));
}

std::string kept_up(const Candidate& candidate) {
  return candidate.no_interruption ? fmt::format("{:.4f}", candidate.no_interruption->lower) : "-";
}

std::string candidates_text(const models::Plan& plan, const models::Selection& selection,
                            const std::vector<size_t>& which, size_t shown) {
  std::vector<std::vector<std::string>> rows{
      {"cost", "down a year", "kept up", "slowest move", "design"}};
  for (const size_t i : which) {
    if (rows.size() > shown) break;
    const Candidate& candidate = selection.candidates[i];
    rows.push_back({price(plan, candidate.cost),
                    fmt::format("{:.3g} min", candidate.downtime_minutes_per_year()),
                    kept_up(candidate), move_text(candidate), describe(plan, candidate)});
  }
  return format_table(rows, {0, 1, 2, 3});
}

std::string discarded_text(const models::Plan& plan, const models::Selection& selection) {
  std::string text;
  for (const models::MissSummary& summary : selection.discarded)
    text += fmt::format("  {} of {} miss {}\n    nearest: {}\n", summary.count,
                        selection.candidates.size(), describe(plan, summary.smallest),
                        describe(plan, selection.candidates[summary.nearest]));
  return text.empty() ? text : "\ndiscarded (a design may miss several)\n" + text;
}

std::string sensitivities_text(const models::Selection& selection) {
  if (selection.sensitivities.empty()) return "";
  std::vector<std::vector<std::string>> rows{{"1% more of", "changes down time by", "that is"}};
  for (const models::Sensitivity& each : selection.sensitivities)
    rows.push_back({each.parameter, elasticity(each), meaning_of(each.parameter)});
  return "\nwhat to improve first in the cheapest\n" + format_table(rows, {1});
}

Json to_json(const models::Plan& plan, const Candidate& candidate) {
  Json misses = Json::array();
  for (const Miss& miss : candidate.misses)
    misses.push_back({{"requirement", models::requirement_name(miss.requirement)},
                      {"needed", miss.needed},
                      {"found", std::isfinite(miss.found) ? Json(miss.found) : Json()},
                      {"by", std::isfinite(miss.by()) ? Json(miss.by()) : Json()}});
  Json json{{"design", models::design_name(candidate.options.design)},
            {"description", describe(plan, candidate)},
            {"servers", candidate.servers},
            {"server", plan.servers[candidate.server].name},
            {"switches", candidate.options.switches},
            {"switch", plan.switches[candidate.switch_kind].name},
            {"storage", candidate.storage ? Json(plan.storages[*candidate.storage].name) : Json()},
            {"repair", plan.repairs[candidate.repair].name},
            {"cost", candidate.cost},
            {"unavailability", candidate.unavailability},
            {"downtime_minutes_per_year", candidate.downtime_minutes_per_year()},
            {"slowest_move_seconds", candidate.slowest_move.total_seconds},
            {"slowest_move_mode", models::mode_name(candidate.slowest_move.mode)},
            {"longest_pause_seconds", candidate.longest_pause.pause_seconds}};
  if (candidate.no_interruption)
    json["no_interruption"] = {{"lower", candidate.no_interruption->lower},
                               {"upper", candidate.no_interruption->upper}};
  json["parameters"] = candidate.values;
  json["misses"] = misses;
  return json;
}

}  // namespace

std::string price(const models::Plan& plan, double amount) {
  const std::string all = fmt::format("{:.0f}", amount);
  std::string digits;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i > 0 && (all.size() - i) % 3 == 0) digits += ' ';
    digits += all[i];
  }
  return plan.currency.empty() ? digits : digits + " " + plan.currency;
}

std::string describe(const models::Plan& plan, const Miss& miss) {
  const std::string over =
      std::isfinite(miss.by()) ? fmt::format(" ({:.3g}% off)", miss.by() * 100) : "";
  return fmt::format("{}: needed {}, found {}{}", models::requirement_name(miss.requirement),
                     amount(plan, miss.requirement, miss.needed),
                     amount(plan, miss.requirement, miss.found), over);
}

std::string elasticity(const models::Sensitivity& sensitivity) {
  return fmt::format("{:+.3f}%", sensitivity.elasticity);
}

std::string meaning_of(const std::string& parameter) {
  const auto& known = models::design_parameters();
  const auto found = std::ranges::find(known, parameter, &models::ParameterDescription::name);
  if (found != known.end()) return found->meaning;
  return parameter == "1-c" ? "share of failures that the fail-over does not handle" : "";
}

std::string to_text(const models::Plan& plan, const models::Selection& selection, size_t shown) {
  std::string text = fmt::format("{}: {} designs, {} satisfy every requirement\n\n", plan.title,
                                 selection.candidates.size(), selection.satisfying.size());
  if (!selection.satisfying.empty())
    text += candidates_text(plan, selection, selection.satisfying, shown);
  text += "\ncost against down time (all designs that can carry the services)\n" +
          candidates_text(plan, selection, selection.pareto, shown);
  return text + discarded_text(plan, selection) + sensitivities_text(selection);
}

Json to_json(const models::Plan& plan, const models::Selection& selection, size_t shown) {
  const auto list = [&](const std::vector<size_t>& which) {
    Json all = Json::array();
    for (const size_t i : which) {
      if (all.size() == shown) break;
      all.push_back(to_json(plan, selection.candidates[i]));
    }
    return all;
  };
  Json discarded = Json::array();
  for (const models::MissSummary& summary : selection.discarded)
    discarded.push_back({{"requirement", models::requirement_name(summary.requirement)},
                         {"count", summary.count},
                         {"nearest", to_json(plan, selection.candidates[summary.nearest])}});
  Json improve = Json::array();
  for (const models::Sensitivity& each : selection.sensitivities)
    improve.push_back({{"parameter", each.parameter},
                       {"value", each.value},
                       {"elasticity", each.elasticity},
                       {"meaning", meaning_of(each.parameter)}});
  return {{"title", plan.title},
          {"currency", plan.currency},
          {"designs", selection.candidates.size()},
          {"satisfying_count", selection.satisfying.size()},
          {"satisfying", list(selection.satisfying)},
          {"pareto", list(selection.pareto)},
          {"discarded", discarded},
          {"improve_first", improve}};
}

}  // namespace martlet::cli
